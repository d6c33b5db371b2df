package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/iohelper"
	digest "github.com/opencontainers/go-digest"
)

// Flags that do not go together are refused before anything starts.
func TestDebugFlags(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "image.json")
	if err := os.WriteFile(file, []byte(`{"stages": [{"name": "org.osbuild.noop"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--debug", "-"}, "--debug: the shell reads standard input, which the manifest comes from"},
		{[]string{"--debug", "--build-env", "-", file}, "--debug: the shell reads standard input"},
		{[]string{"--debug", "--json", file}, "--debug: the shell writes to standard output"},
		{[]string{"--debug", "--progress=rawjson", file}, "--debug: the shell's messages do not fit"},
		{[]string{"--store", store, "--keep-failed", store, file}, "--keep-failed " + store + ": it is the store"},
	} {
		code, stdout, stderr := execute(t, `{"stages": []}`, append([]string{"build", "--builder", "unix:///nonexistent"}, c.args...)...)
		if code != exitInvalid || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%q: code %d, %s%s", c.args, code, stdout, stderr)
		}
	}
}

// The display gives the terminal away when it has shown the step that failed, and
// takes what comes later without showing it.
func TestDisplayFinishes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d, err := (&app{stderr: &out}).newDisplay("plain")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	vertex := func(name, failure string) *client.SolveStatus {
		return &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString(name), Name: name, Started: &now, Completed: &now, Error: failure}}}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.finish()
	}()
	d.channel() <- vertex("first", context.Canceled.Error())
	d.channel() <- vertex("second", "exit code: 7")
	<-done
	shown := out.String()
	d.channel() <- vertex("third", "")
	close(d.channel())
	d.wait()
	if !strings.Contains(shown, "second") || !strings.Contains(shown, "exit code: 7") || out.String() != shown {
		t.Errorf("shown before: %q, and then: %q", shown, out.String())
	}
	if got := d.explain(errors.New("failed to solve: process \"x\"")).Error(); !strings.HasPrefix(got, "second failed") {
		t.Errorf("explained as %q", got)
	}
	if terminal(strings.NewReader("")) != nil || terminal(os.NewFile(^uintptr(0), "")) != nil {
		t.Error("what is no terminal is one")
	}
}

// That no shell could be started is told from what one prints.
func TestNotStarted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`runc run failed: unable to start container process: exec: "/bin/sh": stat /bin/sh: no such file or directory`: true,
		"executable file `/bin/sh` not found: No such file or directory":                                               true,
		"exec /bin/sh: exec format error\r\n":                                                                          true,
		"ok\nunable to start container process":                                                                        false,
		"/bin/sh: 1: nothing: not found":                                                                               false,
		"":                                                                                                             false,
	} {
		b := &beginning{w: &iohelper.NopWriteCloser{Writer: io.Discard}}
		for _, c := range []byte(text) {
			if _, err := b.Write([]byte{c}); err != nil {
				t.Fatal(err)
			}
		}
		if notStarted.Match(b.data) != want {
			t.Errorf("%q", text)
		}
	}
	b := &beginning{w: &iohelper.NopWriteCloser{Writer: io.Discard}}
	if n, err := b.Write(make([]byte, 1<<20)); n != 1<<20 || err != nil || len(b.data) != 512 {
		t.Errorf("%d, %v, %d bytes kept", n, err, len(b.data))
	}
}

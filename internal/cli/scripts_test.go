package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"github.com/moby/buildkit/client"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// failure is what a script reads.
type failure struct {
	Success bool
	Error   struct {
		Message  string
		ExitCode int `json:"exit_code"`
		Places   []struct {
			File, Pointer, Message, Hint, Rule string
			Line, Column                       int
			EndLine                            int `json:"end_line"`
			EndColumn                          int `json:"end_column"`
		}
		Step string
		Log  []string
	}
}

// The same fault has the same code and is told as JSON by every command that
// can find it.
func TestFailuresAsJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		full := filepath.Join(dir, name)
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return full
	}
	wrong := write("wrong.json", "{\"stages\": [\n  {\"name\": \"org.osbuild.hostnam\"},\n  {\"name\": \"org.osbuild.noop\", \"optoins\": {}}]}")
	syntax := write("syntax.json", "{\n  \"stages\": [}\n")
	good := write("good.json", `{"stages": [{"name": "org.osbuild.noop"}]}`)
	loose := write("loose.json", `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}}]}`)
	missing := filepath.Join(dir, "missing")
	readers := [][]string{{"build"}, {"check"}, {"inspect"}}
	for _, c := range []struct {
		name     string
		commands [][]string
		args     []string
		code     int
		message  string
		places   []string
	}{
		{"wrong manifest", readers, []string{wrong}, 2, "unknown stage", []string{
			"2:12-2:33 /stages/0/name", "3:32-3:41 /stages/1/optoins"}},
		{"syntax", readers, []string{syntax}, 2, "syntax.json:2:14: ", []string{"2:14"}},
		{"no file", append(readers, []string{"image", "info"}), []string{missing}, 2, "no such file", nil},
		{"a directory", append(readers, []string{"image", "info"}), []string{dir}, 2, "", nil},
		{"no argument", append(readers, []string{"image", "info"}), nil, 2, "takes one", nil},
		{"unknown flag", append(readers, []string{"image", "info"}, []string{"stages"}, []string{"du"}, []string{"prune"}), []string{"--bogus"}, 2, "unknown flag: --bogus", nil},
		{"bad builder", [][]string{{"build", good}, {"du"}, {"prune"}}, []string{"--builder", "ftp://x"}, 2, "unknown scheme", nil},
		{"no daemon", [][]string{{"build", good}, {"du"}, {"prune"}}, []string{"--builder", "unix:///nonexistent/sock"}, 1, "the socket does not exist", nil},
		{"unknown stage", [][]string{{"stages"}}, []string{"org.osbuild.hostnam"}, 2, `did you mean "org.osbuild.hostname"?`, nil},
		{"libdir", append(readers, []string{"stages"}), []string{"--libdir", missing, good}, 2, "--libdir", nil},
		{"epoch", readers, []string{"--build-arg", "SOURCE_DATE_EPOCH=monday", good}, 2, "give a number of seconds since 1970", nil},
		{"warnings are errors", [][]string{{"check"}}, []string{"--error", loose}, 1, "warnings are to be errors, and there are 1", []string{"1:22-1:50 /stages/0/options"}},
		{"no image", [][]string{{"image", "info"}}, []string{good}, 2, "no known format", nil},
	} {
		for _, command := range c.commands {
			args := append(append(append([]string{}, command...), "--json"), c.args...)
			code, stdout, stderr := execute(t, "", args...)
			var got failure
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Errorf("%s: %v: %q is no JSON: %v", c.name, args, stdout, err)
				continue
			}
			if code != c.code || got.Success || got.Error.ExitCode != c.code || !strings.Contains(got.Error.Message, c.message) || stderr == "" {
				t.Errorf("%s: %v: exit code %d, want %d: %+v\n%s", c.name, args, code, c.code, got, stderr)
			}
			var places []string
			for _, p := range got.Error.Places {
				place := strings.TrimSuffix(strings.TrimSuffix(posText(p.Line, p.Column, p.EndLine, p.EndColumn)+" "+p.Pointer, " "), "-0:0")
				places = append(places, place)
				if p.File == "" || p.Message == "" {
					t.Errorf("%s: %+v", c.name, p)
				}
			}
			if c.name == "syntax" && len(places) == 1 && strings.HasPrefix(places[0], "2:14") {
				continue // how far it reaches is the parser's business
			}
			if c.name == "warnings are errors" && len(places) == 1 && strings.HasPrefix(places[0], "1:22") {
				continue
			}
			if d := cmp.Diff(c.places, places); d != "" {
				t.Errorf("%s: %v: places (-want +got):\n%s", c.name, args, d)
			}
			// Without --json nothing but the messages is different.
			plain := append(append([]string{}, command...), c.args...)
			code, stdout, also := execute(t, "", plain...)
			if code != c.code || stdout != "" || also != stderr {
				t.Errorf("%s: %v: exit code %d, %q, %q", c.name, plain, code, stdout, also)
			}
		}
	}
}

func posText(line, column, endLine, endColumn int) string {
	return strings.Join([]string{itoa(line) + ":" + itoa(column), itoa(endLine) + ":" + itoa(endColumn)}, "-")
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// The result of each command is JSON as well.
func TestResultsAsJSON(t *testing.T) {
	t.Parallel()
	good := `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}}]}`
	for _, c := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{good, []string{"check", "--json", "-"}, `"warnings":[{"file":"<stdin>","line":1,"column":22`},
		{good, []string{"check", "--json", "--rules"}, `{"name":"UnpinnedRepository"`},
		{good, []string{"inspect", "--json", "-"}, `"format": "2019"`},
		{"", []string{"stages", "--json"}, `{"name":"org.osbuild.hostname","kind":"stage","summary":`},
		{"", []string{"stages", "--json", "org.osbuild.hostname"}, `"schema":{`},
		{"{}", []string{"build", "--builder", "unix:///nonexistent", "--json", "-"}, `{"success":true}`},
	} {
		code, stdout, stderr := execute(t, c.stdin, c.args...)
		if code != 0 || !json.Valid([]byte(stdout)) || !strings.Contains(stdout, c.want) {
			t.Errorf("%v: %d\n%s\n%s", c.args, code, stdout, stderr)
		}
	}
}

// A step that failed is told with its stage's place, its name and its log.
func TestFailedStepAsJSON(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs}
	data := []byte("{\"stages\": [{\"name\": \"org.osbuild.noop\"},\n  {\"name\": \"org.osbuild.error\"}]}")
	c, err := a.readLibdir("")
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Load("/some/where/x.json", data, c)
	if err != nil {
		t.Fatal(err)
	}
	d := &display{names: map[digest.Digest]string{}, logs: map[digest.Digest][]byte{}}
	dgst := digest.FromString("step")
	d.note(&client.SolveStatus{
		Vertexes: []*client.Vertex{{Digest: dgst, Name: "[tree 2/2] org.osbuild.error", Error: "exit code: 3"}},
		Logs:     []*client.VertexLog{{Vertex: dgst, Data: []byte("one\r\ntwo\n")}},
	})
	err = a.failed(errors.New(`failed to solve: process "x" did not complete successfully: exit code: 3`), &source{name: "/some/where/x.json", data: data, m: m}, d)
	a.printFailure(err, exitFailed)
	var got failure
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Error.Step != "[tree 2/2] org.osbuild.error" || len(got.Error.Log) != 2 || got.Error.Log[0] != "one" || len(got.Error.Places) != 1 {
		t.Fatalf("%s", out.String())
	}
	if p := got.Error.Places[0]; p.File != "/some/where/x.json" || p.Line != 2 || p.Column != 3 || p.Pointer != "/stages/1" || !strings.HasSuffix(p.Message, "failed: exit code: 3") {
		t.Errorf("%+v", p)
	}
	if !strings.HasPrefix(errs.String(), "/some/where/x.json:2:3: [tree 2/2] org.osbuild.error failed: exit code: 3\n") {
		t.Errorf("%s", errs.String())
	}
}

// Where the progress is read by a program nothing else is on its stream.
func TestRawProgressIsAlone(t *testing.T) {
	t.Parallel()
	const wrong = `{"stages": [{"name": "org.osbuild.hostnam"}]}`
	for _, args := range [][]string{
		{"build", "--builder", "unix:///nonexistent", "--progress=rawjson", "-"}, {"build", "--builder", "unix:///nonexistent", "--progress", "rawjson", "-"},
		{"build", "--progress=rawjson", "--bogus"}, {"build", "--builder", "unix:///nonexistent", "--progress=rawjson", "--json", "-"},
	} {
		code, stdout, stderr := execute(t, wrong, args...)
		if code != 2 || stderr != "" || stdout == "" {
			t.Errorf("%v: %d, %q, %q", args, code, stdout, stderr)
		}
		if strings.Contains(strings.Join(args, " "), "--json") && !json.Valid([]byte(stdout)) {
			t.Errorf("%v: %s", args, stdout)
		}
	}
	// After "--" it is a file.
	if _, _, stderr := execute(t, wrong, "check", "--", "--progress=rawjson"); !strings.Contains(stderr, "no such file") {
		t.Errorf("%q", stderr)
	}
	// The display itself has the stream.
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs}
	a.separateProgress([]string{"build", "--progress=rawjson", "x"})
	d, err := a.newDisplay("rawjson")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	d.channel() <- &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString("x"), Name: "a step", Started: &now}}}
	close(d.channel())
	d.wait()
	if !json.Valid(errs.Bytes()) || !strings.Contains(errs.String(), "a step") || out.Len() > 0 {
		t.Errorf("%q, %q", errs.String(), out.String())
	}
}

func TestCommandNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "image")
	if err := os.WriteFile(file, []byte("#!/usr/bin/env osbuildkit\n{}"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string // the beginnings
	}{
		{[]string{"--version"}, 0, "osbuildkit " + Version + " (" + runtime.GOOS + "/", ""},
		{[]string{"version"}, 0, "osbuildkit " + Version + " (" + runtime.GOOS + "/", ""},
		{[]string{"version", "x"}, 2, "", "osbuildkit: osbuildkit version takes no arguments"},
		{[]string{"buld", "--bogus", "x"}, 2, "", "osbuildkit: unknown command \"osbuildkit buld\"; did you mean 'osbuildkit build'?\n"},
		{[]string{"frobnicate"}, 2, "", "osbuildkit: unknown command \"osbuildkit frobnicate\"; 'osbuildkit --help' lists the commands\n"},
		{[]string{"image", "inof", "--json", "x"}, 2, "", "osbuildkit: unknown command \"osbuildkit image inof\"; did you mean 'osbuildkit image info'?\n"},
		{[]string{"help", "chekc"}, 2, "", "osbuildkit: unknown command \"osbuildkit chekc\"; did you mean 'osbuildkit check'?\n"},
		{[]string{"help", "image", "ls"}, 0, "List a directory of the system in an image.\n", ""},
		{[]string{"help"}, 0, "Build operating system images with BuildKit.\n", ""},
		{[]string{"build", "--outptu-directory", "x"}, 2, "", "osbuildkit: unknown flag: --outptu-directory; did you mean --output-directory?\n"},
		{[]string{"stages", "a", "b"}, 2, "", "osbuildkit: osbuildkit stages takes at most one NAME; see"},
		{[]string{"image", "ls"}, 2, "", "osbuildkit: osbuildkit image ls takes one FILE"},
		// A manifest is a program.
		{[]string{file, "--builder", "unix:///nonexistent"}, 0, "", ""},
		{[]string{file, "--json", "--builder", "unix:///nonexistent"}, 0, `{"success":true}`, ""},
		{[]string{file, "--progress", "loud"}, 2, "", "osbuildkit: --progress \"loud\""},
		{[]string{filepath.Join(dir, "none.json")}, 2, "", "osbuildkit: open " + dir + "/none.json: no such file"},
		{[]string{"none.json"}, 2, "", "osbuildkit: open none.json: no such file"},
	} {
		code, stdout, stderr := execute(t, "", c.args...)
		if code != c.code || !strings.HasPrefix(stdout, c.stdout) || !strings.HasPrefix(stderr, c.stderr) || c.stdout == "" && stdout != "" || c.stderr == "" && stderr != "" {
			t.Errorf("%v: exit code %d\n%s\n%s", c.args, code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"--help"}, {"build", "--help"}} {
		_, stdout, _ := execute(t, "", args...)
		for _, want := range []string{"  1  the build, or what else the command does, failed", "  2  the input or the command line is wrong", "130  interrupted", "143  terminated"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v does not say %q:\n%s", args, want, stdout)
			}
		}
	}
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, stdout, stderr := execute(t, "", "completion", shell)
		if code != 0 || len(stdout) < 1000 || stderr != "" {
			t.Errorf("%s: %d, %d bytes, %s", shell, code, len(stdout), stderr)
			continue
		}
		// The shell can read it, where it is installed.
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		cmd := exec.Command(path, "-n", "/dev/stdin")
		cmd.Stdin = strings.NewReader(stdout)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"bui"}, []string{"build"}},
		{[]string{"stages", ""}, []string{"org.osbuild.hostname", "org.osbuild.qemu"}},
		{[]string{"build", "--progress", ""}, []string{"rawjson", "plain"}},
		{[]string{"build", "--target", ""}, []string{"containerdisk", "tree"}},
		{[]string{"check", "--skip", ""}, []string{"UnpinnedRepository"}},
		{[]string{"help", ""}, []string{"image", "build"}},
	} {
		code, stdout, _ := execute(t, "", append([]string{"__complete"}, c.args...)...)
		for _, want := range c.want {
			if code != 0 || !strings.Contains("\n"+stdout, "\n"+want) {
				t.Errorf("%v: %d, %q is missing in %s", c.args, code, want, stdout)
			}
		}
	}
}

// What is wrong with an option by itself is found before anything is started:
// the address leads nowhere.
func TestBuildOptions(t *testing.T) {
	t.Parallel()
	const good = `{"stages": [{"name": "org.osbuild.noop"}]}`
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, value, want string }{
		{"--platform", "windows/amd64", "--platform: no image can be built for the platform windows/amd64: osbuildkit builds Linux systems; write linux/amd64"},
		{"--platform", "linux/amd64,darwin/arm64", "the platform darwin/arm64"},
		{"--platform", "a/b/c/d/e", "--platform: "},
		{"--mirror", "file:///srv/debian", `--mirror: mirror "file:///srv/debian": give an http or https URL: a builder does not see the files of its client`},
		{"--mirror", "ftp://a/debian", `--mirror: mirror "ftp://a/debian": give an http or https URL`},
		{"--build-arg", "OSBUILDKIT_MIRROR=/srv/debian", `--build-arg OSBUILDKIT_MIRROR: mirror "/srv/debian": give an http or https URL: a builder`},
		{"--keep-failed", "", "--keep-failed: name a directory"},
		{"--cache-to", "type=foo", `--cache-to: unknown type "foo": choose registry, local, gha, s3, azblob, inline`},
		{"--cache-to", "type=registri,ref=x", `--cache-to: unknown type "registri"; did you mean "registry"?`},
		{"--cache-from", "type=inline", `--cache-from: unknown type "inline"`},
		{"--cache-from", "type=local", "--cache-from: type=local needs a directory: add src=DIRECTORY"},
		{"--cache-to", "type=local", "--cache-to: type=local needs a directory: add dest=DIRECTORY"},
		{"--cache-to", "type=local,dest=" + file, "--cache-to: " + file + " is in the place of a directory"},
		{"--cache-to", "type=registry", "--cache-to: type=registry needs an image: add ref=NAME"},
		{"--cache-to", "foo=bar", "--cache-to: foo=bar names no type: add type=registry"},
		{"--cache-from", "UPPER CASE", "--cache-from: ref=UPPER CASE: "},
		{"--secret", "id=x,src=/nonexistent/file", "--secret: "},
		{"--secret", "src=x", "--secret: "},
		{"--builder", "ftp://x", `--builder "ftp://x": unknown scheme`},
		{"--build-arg", "SOURCE_DATE_EPOCH=-1", `SOURCE_DATE_EPOCH="-1": give a number`},
	} {
		code, _, stderr := execute(t, good, "build", "--builder", "unix:///nonexistent", c.flag, c.value, "-")
		if code != exitInvalid || !strings.Contains(stderr, c.want) {
			t.Errorf("%s %s: %d, %s", c.flag, c.value, code, stderr)
		}
	}
}

// Interrupts have the codes that shells give them.
func TestAbortCodes(t *testing.T) {
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		ctx, stop := withSignals(context.Background())
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		var out, errs bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
		code := a.run(ctx, []string{"build", "--json", "--builder", "unix:///nonexistent", "/nonexistent.json"})
		var got failure
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || code != want || got.Error.ExitCode != want || errs.String() != "Aborted\n" {
			t.Errorf("%v: exit code %d, %v, %s%s", sig, code, err, &out, &errs)
		}
		stop()
	}
}

// Whatever a dependency logs, a person does not see it.
func TestNoLogLines(t *testing.T) {
	if os.Getenv("OSBUILDKIT_TEST_LOG") != "" {
		code := Main([]string{"version"})
		log.Print("a line of a dependency")
		os.Exit(code)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoLogLines$")
	cmd.Env = append(os.Environ(), "OSBUILDKIT_TEST_LOG=1")
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &errs
	if err := cmd.Run(); err != nil || errs.Len() > 0 {
		t.Errorf("%v, %q", err, errs.String())
	}
}

//go:build e2e

package test

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestFrontendArguments gives build arguments through buildx: one that the
// manifest declares, and one that nobody knows.
func TestFrontendArguments(t *testing.T) {
	needFrontend(t)
	m := syntax(object{
		"args":   object{"host": object{"type": "string", "pattern": "^[a-z]+$"}},
		"stages": []any{stage("org.osbuild.hostname", object{"hostname": object{"$format": "${host}.example.com"}})},
	})
	dir, out := buildDir(t, m), filepath.Join(t.TempDir(), "tree.tar")
	run := func(args ...string) (string, error) {
		all := append([]string{"build", "--builder", frontend.daemon.name, "--progress", "plain", "-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir}, withFrontend()...)
		got, err := buildxCommand(append(all, args...)...).CombinedOutput()
		return string(got), err
	}
	text, err := run("--build-arg", "host=web", "--build-arg", "hots=db")
	if want := `the build argument "hots" is not declared and has no effect; did you mean "host"?`; err != nil || !strings.Contains(text, want) {
		t.Errorf("%v: %s", err, text)
	}
	wantHostname(t, out, "web.example.com")
	for given, want := range map[string]string{
		"":         `the build argument "host" is not given and has no default (at /args/host)`,
		"host=WEB": "host",
	} {
		var args []string
		if given != "" {
			args = []string{"--build-arg", given}
		}
		if text, err := run(args...); err == nil || !strings.Contains(text, want) || !strings.Contains(text, ">>>") {
			t.Errorf("%q: %v: %s", given, err, text)
		}
	}
}

// TestFrontendSecret downloads packages with credentials. They are in no blob of
// the exported cache, the provenance, or what is shown.
func TestFrontendSecret(t *testing.T) {
	needFrontend(t)
	const credentials = "Bearer fr0ntend-s3cret"
	var asked int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != credentials {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		asked++
		shared.mirror.ServeHTTP(w, r)
	}))
	defer server.Close()
	dir := buildDir(t, syntax(object{"stages": []any{
		bootstrap(),
		stage("org.osbuildkit.apt", object{
			"packages": []string{"hello"},
			"auth":     "mirror",
			"repos":    []any{object{"suite": suite, "mirror": server.URL + mirrorPrefix}},
		}),
	}}))
	out, cache := t.TempDir(), filepath.Join(t.TempDir(), "cache")
	args := []string{"-f", filepath.Join(dir, "image.json"), dir, "--provenance=mode=max", "-o", tarOf(filepath.Join(out, "tree.tar"))}
	if p := startBuildx(t, frontend.daemon, args...).wait(); p.code() == 0 || !strings.Contains(p.text(), "mirror") {
		t.Errorf("without the secret: exit code %d, %s", p.code(), p.text())
	}
	t.Setenv("MIRROR_CREDENTIALS", credentials)
	p := buildxBuild(t, frontend.daemon, append(args, "--secret", "id=mirror,env=MIRROR_CREDENTIALS", "--cache-to", "type=local,mode=max,compression=zstd,dest="+cache)...)
	if asked == 0 {
		t.Error("the mirror was not asked")
	}
	if strings.Contains(p.text(), credentials) {
		t.Error("the credentials are shown")
	}
	looked := 0
	for _, root := range []string{out, cache} {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			looked++
			if bytes.Contains(content(t, name), []byte(credentials)) {
				t.Errorf("the credentials are in %s", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if looked < 10 {
		t.Errorf("only %d files were looked at", looked)
	}
}

// content returns what a file holds, unpacked if it is compressed.
func content(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	in, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if unpacked, err := in.DecodeAll(data, nil); err == nil {
		return unpacked
	}
	return data
}

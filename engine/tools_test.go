//go:build linux

package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool finds a program of the tools module in bin, or skips.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs bin/%s: go build -C tools -o ../bin/ tool", name)
	}
	return path
}

// The real buildx, standing alone, builds a Dockerfile on the served engine, and
// the engine is reached again through it by the builder's name.
func TestRealBuildx(t *testing.T) {
	step := needEmbedded(t)
	buildx := tool(t, "buildx")
	socket := serveShared(t)
	path := t.TempDir()
	if err := os.Symlink(buildx, filepath.Join(path, "buildx")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path) // no docker command
	t.Setenv("BUILDX_CONFIG", t.TempDir())
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(buildx, args...).CombinedOutput(); err != nil {
			t.Fatalf("buildx %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	run("create", "--name", "served", "--driver", "remote", "unix://"+socket)

	src, dest := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"Dockerfile": "FROM scratch\nCOPY word /word\n", "word": "copied"} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("build", "--builder", "served", "--output", "type=local,dest="+dest, src)
	if data, err := os.ReadFile(filepath.Join(dest, "word")); err != nil || string(data) != "copied" {
		t.Errorf("%q, %v", data, err)
	}

	e, err := Open(t.Context(), Options{Builder: "served"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got, err := solveFile(t.Context(), e.Client(), step, "real buildx"); err != nil || got != "real buildx" {
		t.Errorf("%q, %v", got, err)
	}
	_, err = Open(t.Context(), Options{Builder: "nobody"})
	if err == nil || !strings.Contains(err.Error(), `no builder "nobody" found`) || !strings.Contains(err.Error(), `"buildx ls"`) {
		t.Errorf("a builder that is not there: %v", err)
	}
}

func TestBuildctl(t *testing.T) {
	needEmbedded(t)
	buildctl := tool(t, "buildctl")
	out, err := exec.Command(buildctl, "--addr", "unix://"+serveShared(t), "debug", "info").CombinedOutput()
	if err != nil || !strings.Contains(string(out), buildkitVersion) {
		t.Errorf("%v: %s", err, out)
	}
}

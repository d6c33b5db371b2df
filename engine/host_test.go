//go:build linux

package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestJudgeRuntime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, err string }{
		{"runc version 1.1.5+ds1\nspec: 1.0.2-dev\ngo: go1.19.8\nlibseccomp: 2.5.4\n", ""},
		{"runc version 1.5.2\nspec: 1.3.0\n", "built without seccomp"},
		{"crun version 1.8.1\ncommit: f8a\n", `is not runc (it says "crun version 1.8.1")`},
		{"", "is not runc"},
	} {
		err := judgeRuntime("/usr/sbin/runc", tt.text)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q: error %v, want %q", tt.text, err, tt.err)
		}
	}
}

// The answer of runc is remembered for the same file, and asked for again after
// an update of the package.
func TestCheckRuntimeOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	calls := filepath.Join(dir, "calls")
	script := filepath.Join(dir, "runc")
	write := func(seccomp string) {
		text := "#!/bin/sh\necho x >>" + calls + "\necho runc version 1.2\necho " + seccomp + "\n"
		treetest.Program(t, script, []byte(text))
	}
	count := func() int {
		data, _ := os.ReadFile(calls)
		return strings.Count(string(data), "x")
	}
	write("libseccomp: 2.5.4")
	rt := ociRuntime{path: script}
	for range 3 {
		if err := checkRuntime(t.Context(), rt, dir); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(); n != 1 {
		t.Errorf("runc was asked %d times", n)
	}
	write("go: go1.26")
	for range 2 { // a bad answer is not remembered
		if err := checkRuntime(t.Context(), rt, dir); err == nil || !strings.Contains(err.Error(), "without seccomp") {
			t.Errorf("error %v", err)
		}
	}
	if n := count(); n != 3 {
		t.Errorf("runc was asked %d times", n)
	}
}

func TestFindRuntime(t *testing.T) {
	path, admin := t.TempDir(), t.TempDir()
	before := adminDirs
	t.Cleanup(func() { adminDirs = before })
	adminDirs = []string{admin}
	t.Setenv("PATH", path)
	_, err := findRuntime()
	if err == nil || !strings.Contains(err.Error(), "apt-get install runc") {
		t.Errorf("without runc: %v", err)
	}
	for _, want := range []string{filepath.Join(admin, "runc"), filepath.Join(path, "runc"), filepath.Join(path, "buildkit-runc")} {
		treetest.Program(t, want, []byte("#!/bin/sh\n"))
		if rt, err := findRuntime(); err != nil || rt.path != want {
			t.Errorf("found %q, %v; want %q", rt.path, err, want)
		}
	}
}

func TestCheckSubIDs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, err string }{
		{"ann:100000:65536\n", ""},
		{"1234:100000:65536\n", ""},
		{"bob:1:65536\n# ann\nann:100000:30000\nann:200000:40000\n", ""},
		{"bob:100000:65536\n", "gives user ann 0 subordinate ids"},
		{"ann:100000:10\n", "gives user ann 10 subordinate ids"},
		{"ann:x:y\nann:1:-5\nann\n", "gives user ann 0 subordinate ids"},
		{"", "usermod --add-subuids"},
	} {
		path := filepath.Join(t.TempDir(), "subuid")
		if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		err := checkSubIDs(path, "ann", 1234)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q: error %v, want %q", tt.file, err, tt.err)
		}
	}
	if err := checkSubIDs(filepath.Join(t.TempDir(), "none"), "ann", 1234); err == nil {
		t.Error("a missing file is enough")
	}
}

func TestCheckSysctls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if errs := checkSysctls(dir); len(errs) != 0 {
		t.Errorf("a kernel without the settings forbids nothing: %v", errs)
	}
	for path, text := range map[string]string{"user/max_user_namespaces": "0\n", "kernel/unprivileged_userns_clone": "1\n"} {
		p := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	errs := checkSysctls(dir)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "sysctl -w user.max_user_namespaces=15000") {
		t.Errorf("errors %v", errs)
	}
}

func TestMakeRootNotWritable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := makeRoot(file); err == nil {
		t.Error("a file is no store")
	}
}

// The version that the engine reports is the one that is linked in.
func TestBuildKitVersion(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/moby/buildkit " + buildkitVersion + "\n"; !strings.Contains(string(mod), want) {
		t.Errorf("go.mod does not require %s", want)
	}
}

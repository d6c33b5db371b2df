package packages

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rootWith makes a build root of files and, where the text begins with "->",
// links.
func rootWith(t *testing.T, files map[string]string) *rpmRoot {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := openRPMRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.close() })
	return r
}

func TestPythonOfBuildRoot(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		files map[string]string
		want  string
		err   string
	}{
		{"Debian", map[string]string{"usr/bin/dnf-3": "#!/usr/bin/python3\n"}, "/usr/bin/python3", ""},
		{"RHEL 8", map[string]string{"usr/bin/dnf-3": "#!/usr/libexec/platform-python -s\n"}, "/usr/libexec/platform-python", ""},
		{"dnf 5", map[string]string{"usr/bin/dnf5": "\x7fELF"}, "", "the build root has no dnf"},
		{"none", map[string]string{"usr/bin/rpm": "\x7fELF"}, "", "the build root has no dnf"},
		{"no script", map[string]string{"usr/bin/dnf-3": "\x7fELF"}, "", "no Python program"},
		{"shell", map[string]string{"usr/bin/dnf-3": "#!/bin/sh\nexec python3\n"}, "", "no Python program"},
		{"link out of the root", map[string]string{"usr/bin/dnf-3": "->../../../../../../etc/passwd"}, "", "the build root has no dnf"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := rootWith(t, c.files).python()
			if got != c.want || (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestLibrariesOfBuildRoot(t *testing.T) {
	t.Parallel()
	r := rootWith(t, map[string]string{
		"etc/ld.so.conf":                         "include /etc/ld.so.conf.d/*.conf\n",
		"etc/ld.so.conf.d/x86_64-linux-gnu.conf": "# multiarch\n/usr/local/lib/gone\n/usr/lib/x86_64-linux-gnu\nrelative\n",
		"usr/lib/x86_64-linux-gnu/libc.so.6":     "x",
		"usr/lib64/ld.so":                        "x",
		"lib64":                                  "->usr/lib64",
		"lib":                                    "->/usr/lib",
	})
	got, err := r.libraries()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range []string{"usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib"} {
		want = append(want, filepath.Join(r.dir, d))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A program of the build root is started by the loader that it names itself.
func TestCommandOfBuildRoot(t *testing.T) {
	t.Parallel()
	const program = "/bin/sh"
	f, err := elf.Open(program)
	if err != nil {
		t.Skip("no program to look at:", err)
	}
	defer f.Close()
	interpreter, err := elfInterpreter(f)
	if err != nil {
		t.Skip(program, "is static:", err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	r := rootWith(t, map[string]string{"usr/bin/sh": string(data), interpreter: "loader", "etc/ld.so.conf": "", "usr/lib/x": ""})
	got, err := r.command("/usr/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if got[0] != filepath.Join(r.dir, interpreter) || got[len(got)-1] != filepath.Join(r.dir, "usr/bin/sh") || !slices.Contains(got, "--inhibit-cache") {
		t.Errorf("%q", got)
	}
	if _, err := r.command("/usr/bin/gone"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	own := &rpmRoot{t: r.t, dir: "/"}
	if got, err := own.command(program); err != nil || !slices.Equal(got, []string{program}) {
		t.Errorf("%q, %v", got, err)
	}
}

package stub

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/tree"
)

// open makes a tree with the given files in /etc; a value that begins with
// "->" makes a link.
func open(t *testing.T, files map[string]string) *tree.Root {
	t.Helper()
	dir := t.TempDir()
	if files != nil {
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		file := filepath.Join(dir, "etc", name)
		var err error
		if len(text) > 2 && text[:2] == "->" {
			err = os.Symlink(text[2:], file)
		} else {
			err = os.WriteFile(file, []byte(text), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := tree.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// etc lists what is in /etc, links as "->target".
func etc(t *testing.T, r *tree.Root) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := r.ReadDir("etc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := filepath.Join(r.Dir(), "etc", e.Name())
		if target, err := os.Readlink(name); err == nil {
			out[e.Name()] = "->" + target
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(data)
	}
	return out
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if a[k] != b[k] {
			return false
		}
	}
	return true
}

func TestPrepareAndRestore(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files map[string]string
	}{
		{"files", map[string]string{"resolv.conf": "nameserver", "hosts": "localhost", "other": "x"}},
		{"a link, and no hosts", map[string]string{"resolv.conf": "->../run/systemd/resolve/stub-resolv.conf"}},
		{"neither", map[string]string{}},
		{"a link out", map[string]string{"hosts": "->/../../../../etc/hosts"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := open(t, tt.files)
			when := time.Unix(1_600_000_000, 0)
			if err := r.Chtimes("etc", when); err != nil {
				t.Fatal(err)
			}
			for range 2 { // doing it twice is doing it once
				if err := Prepare(r); err != nil {
					t.Fatal(err)
				}
			}
			got := etc(t, r)
			if got["hosts"] != "->"+Dir+"/hosts" || got["resolv.conf"] != "->"+Dir+"/resolv.conf" {
				t.Errorf("prepared: %v", got)
			}
			for range 2 {
				if err := Restore(r.Dir()); err != nil {
					t.Fatal(err)
				}
				if got := etc(t, r); !equal(got, tt.files) {
					t.Errorf("restored: %v, want %v", got, tt.files)
				}
			}
			if st, err := r.Stat("etc"); err != nil || !st.ModTime().Equal(when) {
				t.Errorf("the time of /etc changed: %v, %v", st.ModTime(), err)
			}
		})
	}
}

// What a step did with the names stays.
func TestRestoreLeavesOthers(t *testing.T) {
	t.Parallel()
	r := open(t, map[string]string{"hosts": "own"})
	if err := Restore(r.Dir()); err != nil {
		t.Fatal(err)
	}
	if got := etc(t, r); got["hosts"] != "own" {
		t.Errorf("got %v", got)
	}
	if err := Restore(t.TempDir()); err != nil {
		t.Error("a tree without /etc:", err)
	}
	if err := Restore(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing tree is taken")
	}
}

func TestLend(t *testing.T) {
	t.Parallel()
	files := map[string]string{"resolv.conf": "own", "hosts": "->own-hosts"}
	write := func(name, text string) func(*tree.Root) error {
		return func(r *tree.Root) error { return r.ReplaceFile(name, []byte(text), 0o640, os.Getuid(), os.Getgid()) }
	}
	tests := []struct {
		name  string
		files map[string]string
		do    func(*tree.Root) error
		want  map[string]string
	}{
		{"nothing", files, nil, files},
		{"nothing, and there are none", map[string]string{"x": "x"}, nil, map[string]string{"x": "x"}},
		{"one is written", files, func(r *tree.Root) error { return r.WriteFile("etc/resolv.conf", []byte("builder's"), 0o644) }, files},
		{"one is replaced", files, write("etc/hosts", "new"), map[string]string{"resolv.conf": "own", "hosts": "new"}},
		{"one is new", map[string]string{}, write("etc/hosts", "new"), map[string]string{"hosts": "new"}},
		{"one is removed", files, func(r *tree.Root) error { return r.Remove("etc/resolv.conf") }, files},
		{"it fails", files, func(*tree.Root) error { return os.ErrInvalid }, files},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := open(t, tt.files)
			if err := r.MkdirAll(Dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if err := r.WriteFile(filepath.Join(Dir, name), []byte("builder's"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := Lend(r, func() error {
				for _, name := range names {
					if data, err := r.ReadFile(filepath.Join("etc", name)); err != nil || string(data) != "builder's" {
						t.Errorf("%s holds %q, %v", name, data, err)
					}
				}
				if tt.do != nil {
					return tt.do(r)
				}
				return nil
			})
			if (err != nil) != (tt.name == "it fails") {
				t.Errorf("error %v", err)
			}
			if got := etc(t, r); !equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	// Without a builder there is nothing to lend.
	r := open(t, files)
	if err := Lend(r, func() error {
		if got := etc(t, r); !equal(got, files) {
			t.Errorf("got %v", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestMountpoints(t *testing.T) {
	t.Parallel()
	r := open(t, nil)
	if err := r.Mkdir("proc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Mountpoints(r, 1_600_000_000); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755} {
		st, err := r.Lstat(name)
		if err != nil || !st.IsDir() || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if st, _ := r.Lstat("run"); st.ModTime().Unix() != 1_600_000_000 {
		t.Error("run has the time", st.ModTime())
	}
	bad := open(t, nil)
	if err := bad.Symlink("/etc", "dev"); err != nil {
		t.Fatal(err)
	}
	if err := Mountpoints(bad, 0); err == nil {
		t.Error("a link in the place of /dev is taken")
	}
}

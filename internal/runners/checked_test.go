package runners

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

// What somebody puts in the place of a runner is not run: the program of the
// store is compared with the one that the command holds whenever it is used.
func TestExtractChecksWhatIsThere(t *testing.T) {
	t.Parallel()
	if len(Architectures()) == 0 {
		t.Skip("built without runners; make build puts them in")
	}
	arch, group := Architectures()[0], module.Groups()[0]
	for name, plant := range map[string]func(dir, runner string) error{
		"another program": func(_, runner string) error {
			return os.WriteFile(runner, []byte("#!/bin/sh\n"), 0o755)
		},
		"one byte, the same size and time": func(_, runner string) error {
			st, err := os.Stat(runner)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(runner, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte("X"), st.Size()-1); err != nil {
				return err
			}
			return os.Chtimes(runner, st.ModTime(), st.ModTime())
		},
		"a link to a copy": func(_, runner string) error {
			if err := os.Rename(runner, runner+".real"); err != nil {
				return err
			}
			return os.Symlink(runner+".real", runner)
		},
		"a second name": func(dir, runner string) error {
			return os.Link(runner, filepath.Join(filepath.Dir(dir), "name"))
		},
		"a file more": func(dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, "ld.so.preload"), nil, 0o644)
		},
		"a mode that others can write with": func(_, runner string) error {
			return os.Chmod(runner, 0o777)
		},
		"a link in the place of the directory": func(dir, _ string) error {
			if err := os.Rename(dir, dir+".real"); err != nil {
				return err
			}
			return os.Symlink(dir+".real", dir)
		},
		"a file in the place of the directory": func(dir, _ string) error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return os.WriteFile(dir, nil, 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := t.TempDir()
			dir, err := Extract(store, arch)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join(dir, Name(group)))
			if err != nil {
				t.Fatal(err)
			}
			if err := plant(dir, filepath.Join(dir, Name(group))); err != nil {
				t.Fatal(err)
			}
			again, err := Extract(store, arch)
			if err != nil || again != dir {
				t.Fatalf("%s, %v", again, err)
			}
			got, err := os.ReadFile(filepath.Join(dir, Name(group)))
			if err != nil || string(got) != string(want) {
				t.Errorf("the runner has %d bytes of the %d, %v", len(got), len(want), err)
			}
			st, err := os.Lstat(dir)
			if err != nil || !st.IsDir() {
				t.Errorf("%v, %v", st, err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != len(module.Groups()) {
				t.Errorf("%v, %v", entries, err)
			}
		})
	}
}

func BenchmarkExtractAgain(b *testing.B) {
	if len(Architectures()) == 0 {
		b.Skip("built without runners; make build puts them in")
	}
	dir := b.TempDir()
	for b.Loop() {
		for _, arch := range Architectures() {
			if _, err := Extract(dir, arch); err != nil {
				b.Fatal(err)
			}
		}
	}
}

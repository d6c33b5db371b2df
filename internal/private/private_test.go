package private

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(victim, []byte("mine"), 0o644),
		os.Symlink(victim, in("link")),
		os.Symlink(in("new"), in("dangling")),
		unix.Mkfifo(in("pipe"), 0o600),
		os.Mkdir(in("directory"), 0o700),
		os.WriteFile(in("open"), nil, 0o600), os.Chmod(in("open"), 0o666),
		os.WriteFile(in("two"), nil, 0o600), os.Link(in("two"), in("names")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"link": "is a link in the place of a file", "dangling": "is a link", "pipe": "in the place of a file", "directory": "in the place of a file",
		"open": "can be written to by others", "names": "has another name",
	} {
		err := WriteFile(in(name), []byte("theirs"))
		if fault := (*Fault)(nil); !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ReadFile(in(name), 100); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "mine" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := os.Lstat(in("new")); err == nil {
		t.Error("a file was made behind a link")
	}
	// A file is made for the user alone, and what it had is gone when it is written again.
	for _, text := range []string{"a long text", "short"} {
		if err := WriteFile(in("note"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(in("note"), 100); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if st, err := os.Stat(in("note")); err != nil || st.Mode() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if _, err := ReadFile(in("note"), 4); err == nil || !strings.Contains(err.Error(), "larger than 4 bytes") {
		t.Error(err)
	}
	if f, err := OpenRegular(victim); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	for _, name := range []string{"link", "pipe", "directory"} {
		if _, err := OpenRegular(in(name)); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
}

func TestMakeDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.Mkdir(in("wide"), 0o755), os.Mkdir(in("open"), 0o700), os.Chmod(in("open"), 0o733),
		os.Symlink(in("wide"), in("link")), os.WriteFile(in("file"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"new": "", "wide": "", "open": "can be written to by others", "link": "is a link", "file": "in the place of a directory"} {
		err := MakeDir(in(name))
		if want == "" {
			if st, serr := os.Stat(in(name)); err != nil || serr != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v", name, err, st)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

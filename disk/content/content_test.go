package content

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, n int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte{1}, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a", 4096)
	write("b", 4097)
	write("empty", 0)
	for _, n := range []string{"c", "d"} {
		if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(strings.Repeat("x", 59), filepath.Join(dir, "short")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(strings.Repeat("x", 60), filepath.Join(dir, "long")); err != nil {
		t.Fatal(err)
	}
	write("sparse", 1)
	if err := os.Truncate(filepath.Join(dir, "sparse"), 1<<30); err != nil {
		t.Fatal(err)
	}
	c, err := Load(t.Context(), Options{Tree: dir})
	if err != nil {
		t.Fatal(err)
	}
	use := c.Usage()
	// Inodes: the root, a, b, empty, two links, sparse. Blocks: root 1, a 1,
	// b 2, long 1, sparse at least 1 where the file system knows holes.
	if use.Inodes != 7 || use.Blocks < 5 || use.Blocks > 7+1<<18 {
		t.Errorf("got %+v", use)
	}
	if _, err := Load(t.Context(), Options{Tree: filepath.Join(dir, "missing")}); err == nil {
		t.Error("a missing tree has a size")
	}
}

// paths lists what is in a tree, with the attributes of each.
func paths(t *Tree) string {
	var out []string
	var walk func(at string, f *File)
	walk = func(at string, f *File) {
		for _, a := range f.Attributes {
			at += "[" + a.Name + "]"
		}
		out = append(out, at)
		for _, e := range f.Entries {
			walk(strings.TrimSuffix(f.Path, "/")+"/"+e.Name, e.File)
		}
	}
	walk("/", t.Root)
	return strings.Join(out, " ")
}

// TestSplit gives each of several file systems its part of a tree.
func TestSplit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"boot/vmlinuz", "boot/efi/EFI/x", "home/user/file", "etc/hostname"} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	points := []string{"/", "/boot", "/boot/efi", "/boot/firmware", "/home", "/srv/data"}
	attributes := map[string][]Attribute{}
	for _, p := range []string{"/boot", "/boot/efi/EFI/x", "/home/user", "/etc/hostname", "/home/nobody"} {
		attributes[p] = []Attribute{{Name: "user.a", Value: []byte(p)}}
	}
	for root, want := range map[string]string{
		"/":              "/ /boot[user.a] /etc /etc/hostname[user.a] /home /srv /srv/data",
		"/boot":          "/[user.a] /efi /firmware /vmlinuz",
		"/boot/efi":      "/ /EFI /EFI/x[user.a]",
		"/boot/firmware": "/",
		"/home":          "/ /user[user.a] /user/file",
		"/srv/data":      "/",
	} {
		c, err := Load(t.Context(), Options{Tree: dir, Root: root, Without: points, Attributes: attributes, Epoch: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := paths(c); got != want {
			t.Errorf("%s holds %s, want %s", root, got, want)
		}
		if missing := root == "/home"; (len(c.Warnings) > 0) != missing {
			t.Errorf("%s: warnings %q", root, c.Warnings)
		}
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{Tree: dir, Root: "/link/x"}, {Tree: dir, Without: []string{"/link"}}, {Tree: dir, Root: "/etc/hostname"}} {
		if _, err := Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is no directory") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestPut adds a file to a tree, below a directory in other letters.
func TestPut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "efi"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := Load(t.Context(), Options{Tree: dir, Epoch: 7})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put("/EFI/BOOT/X.EFI", []byte("data"), true); err != nil {
		t.Fatal(err)
	}
	if got := paths(c); got != "/ /efi /efi/BOOT /efi/BOOT/X.EFI" {
		t.Errorf("it holds %s", got)
	}
	if f := c.Lookup("/Efi/boot/x.efi", true); f == nil || f.Size != 4 || f.Time != 7 {
		t.Errorf("found %+v", f)
	}
	for name, want := range map[string]string{"/EFI/BOOT/x.efi": "is there already", "/efi/boot/x.efi/y": "is no directory"} {
		if err := c.Put(name, nil, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var out bytes.Buffer
	if err := c.CopyTo(c.Lookup("/efi/BOOT/X.EFI", false), &out, nil); err != nil || out.String() != "data" {
		t.Errorf("%q, %v", &out, err)
	}
}

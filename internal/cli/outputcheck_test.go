package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An output that cannot be put in its place is found before the build: nothing
// is asked of the builder, whose address leads nowhere.
func TestOutputPlaces(t *testing.T) {
	t.Parallel()
	const assembled = `{"stages": [{"name": "org.osbuild.noop"}], "assembler": {"name": "org.osbuild.tar", "options": {"filename": "image.img"}}}`
	long := strings.Repeat("x", 251) + ".tar"
	for _, c := range []struct {
		name string
		make func(dir string) error
		args []string
		want string // "" gets as far as the builder
	}{
		{"nothing there", func(string) error { return nil }, []string{"-o", "a/b/c"}, ""},
		{"a file of that name", func(dir string) error { return os.WriteFile(dir+"/image.img", nil, 0o444) }, []string{"-o", "."}, ""},
		{"a link of that name", func(dir string) error { return os.Symlink("nowhere", dir+"/image.img") }, []string{"-o", "."}, ""},
		{"a directory of that name", func(dir string) error { return os.Mkdir(dir+"/image.img", 0o755) }, []string{"-o", "."}, "image.img is a directory, and a file of that name is to be written"},
		{"a directory for the checksums", func(dir string) error { return os.Mkdir(dir+"/SHA256SUMS", 0o755) }, []string{"-o", "."}, "SHA256SUMS is a directory"},
		{"a directory for the packages", func(dir string) error { return os.Mkdir(dir+"/packages.json", 0o755) }, []string{"-o", "."}, "packages.json is a directory"},
		{"a directory for the materials", func(dir string) error { return os.Mkdir(dir+"/sbom.spdx.json", 0o755) }, []string{"-o", ".", "--sbom"}, "sbom.spdx.json is a directory"},
		{"no materials", func(dir string) error { return os.Mkdir(dir+"/sbom.spdx.json", 0o755) }, []string{"-o", "."}, ""},
		{"a directory for the tree", func(dir string) error { return os.Mkdir(dir+"/tree.tar", 0o755) }, []string{"-o", ".", "--target", "tree"}, "tree.tar is a directory"},
		{"a directory for the container", func(dir string) error { return os.Mkdir(dir+"/containerdisk.oci.tar", 0o755) }, []string{"-o", ".", "--target", "containerdisk"}, "containerdisk.oci.tar is a directory"},
		{"a file for the directory", func(dir string) error { return os.WriteFile(dir+"/out", nil, 0o644) }, []string{"-o", "out"}, "out is in the place of a directory"},
		{"a file above the directory", func(dir string) error { return os.WriteFile(dir+"/out", nil, 0o644) }, []string{"-o", "out/a/b"}, "not a directory"},
		{"a link that leads nowhere", func(dir string) error { return os.Symlink("nowhere", dir+"/out") }, []string{"-o", "out"}, "out is a link that leads nowhere"},
		{"a link above", func(dir string) error { return os.Symlink("nowhere", dir+"/out") }, []string{"-o", "out/a"}, "out is a link that leads nowhere"},
		{"a directory of a platform", func(dir string) error { return os.MkdirAll(dir+"/linux_arm64/image.img", 0o755) }, []string{"-o", ".", "--platform", "linux/amd64,linux/arm64"}, "linux_arm64/image.img is a directory"},
		{"a file of a platform", func(dir string) error { return os.WriteFile(dir+"/linux_arm64", nil, 0o644) }, []string{"-o", ".", "--platform", "linux/amd64,linux/arm64"}, "linux_arm64 is in the place of a directory"},
		{"one platform", func(dir string) error { return os.WriteFile(dir+"/linux_arm64", nil, 0o644) }, []string{"-o", ".", "--platform", "linux/arm64"}, ""},
		{"the store", func(dir string) error { return os.Mkdir(dir+"/store", 0o755) }, []string{"-o", "store", "--store", "store"}, "it is the store"},
		{"a file for the store", func(dir string) error { return os.WriteFile(dir+"/store", nil, 0o644) }, []string{"-o", ".", "--store", "store"}, "--store: "},
		{"no directory", func(string) error { return nil }, []string{"-o", ""}, "--output-directory: it is empty"},
		{"no store", func(string) error { return nil }, []string{"-o", ".", "--store", ""}, "--store: it is empty"},
		{"unwritable", func(dir string) error { return os.Mkdir(dir+"/out", 0o555) }, []string{"-o", "out/new"}, "out cannot be written to: permission denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.name == "unwritable" && os.Geteuid() == 0 {
				t.Skip("root may write everywhere")
			}
			dir := t.TempDir()
			if err := c.make(dir); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			args := []string{"build", "--builder", "unix:///nonexistent/sock"}
			for i, a := range c.args {
				if i > 0 && a != "" && (c.args[i-1] == "-o" || c.args[i-1] == "--store") {
					a = filepath.Join(dir, a)
				}
				args = append(args, a)
			}
			code, _, stderr := execute(t, assembled, append(args, "-")...)
			switch {
			case c.want == "" && (code != exitFailed || !strings.Contains(stderr, "the socket does not exist")):
				t.Errorf("exit code %d, %s", code, stderr)
			case c.want != "" && (code != exitInvalid || !strings.Contains(stderr, c.want)):
				t.Errorf("exit code %d, %s", code, stderr)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("left behind: %s, before %s", after, before)
			}
		})
	}
	// A name as long as names can be has a place too.
	p, err := newPartial(t.TempDir(), long)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.commit(0, false); err != nil {
		t.Error(err)
	}
}

// What root itself cannot replace.
func TestOutputPlacesOfRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	source, mounted := filepath.Join(dir, "source"), filepath.Join(dir, "mounted")
	for _, name := range []string{source, mounted} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := checkPlace(mounted); err != nil {
		t.Error(err)
	}
	if err := unix.Mount(source, mounted, "", unix.MS_BIND, ""); err != nil {
		t.Skip("no mounts here: ", err)
	}
	defer unix.Unmount(mounted, unix.MNT_DETACH)
	if err := checkPlace(mounted); err == nil || !strings.Contains(err.Error(), "is a mount") {
		t.Error(err)
	}
	readonly := filepath.Join(dir, "readonly")
	if err := os.Mkdir(readonly, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", readonly, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Skip("no tmpfs here: ", err)
	}
	defer unix.Unmount(readonly, unix.MNT_DETACH)
	if err := checkDirectory(filepath.Join(readonly, "a/b")); err == nil || !strings.Contains(err.Error(), "readonly cannot be written to: read-only file system") {
		t.Error(err)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

package assemblers

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/fsread/directory"
	"github.com/osbuildkit/osbuildkit/disk/image"
	"github.com/osbuildkit/osbuildkit/disk/inspect"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

const readBackEpoch = 1700000000

// acl is a list with an entry for user 1000, as setxattr(2) takes it; of the
// others mode bits are kept.
const acl = "\x02\x00\x00\x00" +
	"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xe8\x03\x00\x00" +
	"\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff"

// readBackTree makes a tree with everything that a file can be, and the ledger
// of its attributes.
func readBackTree(t *testing.T) (tree string, book map[string]ledger.Attributes) {
	t.Helper()
	tree = t.TempDir()
	in := func(name string) string { return filepath.Join(tree, name) }
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.Chmod(tree, 0o755))
	for _, d := range []string{"etc/deep/er", "usr/bin", "usr/lib/many", "var/empty"} {
		do(os.MkdirAll(in(d), 0o755))
	}
	do(os.WriteFile(in("etc/passwd"), []byte("root:x:0:0\n"), 0o644))
	do(os.WriteFile(in("etc/shadow"), []byte("root:!:1\n"), 0o000))
	do(os.WriteFile(in("usr/bin/sudo"), bytes.Repeat([]byte("code"), 50000), 0o755))
	do(os.Chmod(in("usr/bin/sudo"), 0o755|os.ModeSetuid))
	do(os.Chmod(in("var/empty"), 0o777|os.ModeSticky))
	do(os.Link(in("usr/bin/sudo"), in("usr/bin/sudoedit")))
	do(os.Link(in("usr/bin/sudo"), in("etc/deep/er/name")))
	do(os.Symlink("../usr/bin/sudo", in("etc/link")))
	do(os.Symlink("/"+strings.Repeat("far/", 200), in("etc/long")))
	for i := range 700 {
		do(os.WriteFile(in(fmt.Sprintf("usr/lib/many/a-file-whose-name-is-longer-than-most-%04d", i)), []byte{byte(i)}, 0o600))
	}
	do(os.WriteFile(in("etc/ünïcode \"quoted\"\n"), nil, 0o644))
	for name, at := range map[string][]int64{"holes": {0, 5 << 20, 9<<20 - 3}, "huge": {3, 2 << 30, 4<<30 + 17, 5<<30 - 5}} {
		f, err := os.Create(in(name))
		do(err)
		for _, o := range at {
			_, err := io.WriteString(io.NewOffsetWriter(f, o), "data")
			do(err)
		}
		do(f.Close())
	}
	do(unix.Mkfifo(in("pipe"), 0o640))
	if os.Getuid() == 0 {
		do(unix.Mknod(in("console"), unix.S_IFCHR|0o600, int(unix.Mkdev(5, 1))))
		do(unix.Mknod(in("disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 300000))))
		do(os.Lchown(in("etc/link"), 12, 34))
		do(os.Lchown(in("usr/lib"), 70000, 4000000000))
		do(os.Lchown(in("etc/passwd"), 0, 42))
	} else {
		t.Log("not root: without devices and owners")
	}
	for name, when := range map[string]int64{"etc/passwd": 1, "usr/bin/sudo": readBackEpoch + 1000, "holes": readBackEpoch - 1, "usr/lib": 5} {
		do(os.Chtimes(in(name), time.Unix(when, 999), time.Unix(when, 999)))
	}
	book = map[string]ledger.Attributes{
		"/":                         {"security.selinux": []byte("system_u:object_r:root_t:s0\x00")},
		"/etc/passwd":               {"security.selinux": []byte("system_u:object_r:passwd_file_t:s0\x00"), "user.note": []byte("a note"), "system.posix_acl_access": []byte(acl)},
		"/usr/bin/sudo":             {"security.selinux": []byte("system_u:object_r:sudo_exec_t:s0\x00"), "user.big": bytes.Repeat([]byte("v"), 3000)},
		"/etc/link":                 {"security.selinux": []byte("system_u:object_r:etc_t:s0\x00")},
		"/var/empty":                {"system.posix_acl_default": []byte(acl), "trusted.overlay": []byte("x")},
		"/etc/ünïcode \"quoted\"\n": {"user.empty": []byte("")},
	}
	return tree, book
}

// TestReadBack compares every entry of an image with the tree that it was made
// of and its ledger: type, mode, owner, time, names, target, device, attributes
// and content.
func TestReadBack(t *testing.T) {
	t.Parallel()
	tree, book := readBackTree(t)
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	if err := unix.Lsetxattr(filepath.Join(tree, "holes"), ledger.Capability, []byte(capability), 0); err != nil {
		t.Log("capabilities cannot be set here:", err)
		capability = ""
	}
	dir := t.TempDir()
	err := ledger.Update(dir, time.Unix(1, 0), func(l *ledger.Ledger) error {
		for p, attributes := range book {
			for name, value := range attributes {
				if err := l.Set(p, name, value); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	var log bytes.Buffer
	err = module.Find(Modules(), "org.osbuild.qemu").Run(t.Context(), &module.Input{
		Tree: tree, Ledger: dir, OutputDir: out, BuildRoot: "/", Epoch: readBackEpoch, Log: &log,
		Options: with(t, map[string]any{"size": 256 << 20}),
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := image.Open(t.Context(), filepath.Join(out, "disk.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	d, err := inspect.Open(m.Budget, m, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	made, err := d.Volume(1)
	if err != nil {
		t.Fatal(err)
	}
	// Other names of a file have its attributes.
	for _, other := range []string{"/usr/bin/sudoedit", "/etc/deep/er/name"} {
		book[other] = book["/usr/bin/sudo"]
	}
	compared := 0
	diff, err := fsread.Diff(t.Context(), directory.Open(tree), made, fsread.DiffOptions{
		Ignore: []string{"/lost+found"},
		Adjust: func(path string, a, _ *fsread.Node) {
			compared++
			a.Attributes = map[string][]byte{}
			for name, value := range book[path] {
				a.Attributes[name] = value
			}
			if path == "/holes" && capability != "" {
				a.Attributes[ledger.Capability] = []byte(capability)
			}
			when := min(a.ModTime.Unix(), readBackEpoch)
			if a.Type() == fsread.TypeDir {
				when = readBackEpoch
			}
			a.ModTime = time.Unix(when, 0)
		},
	})
	if err != nil || diff != nil {
		t.Fatalf("%v, %v", diff, err)
	}
	if compared < 720 {
		t.Errorf("%d entries were compared", compared)
	}
}

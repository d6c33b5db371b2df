package assemblers

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
)

// flatten copies a tree.
func flatten(t *testing.T, dir string) (string, string, error) {
	t.Helper()
	out := t.TempDir()
	var log bytes.Buffer
	err := module.Find(Modules(), "org.osbuildkit.flatten").Run(t.Context(),
		&module.Input{Tree: dir, Options: []byte("{}"), OutputDir: out, Epoch: testEpoch, Log: &log})
	return out, log.String(), err
}

func TestFlatten(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, treetest.Tree{
		"etc":          treetest.Dir(0o750),
		"etc/shadow":   treetest.File("secret").Perm(0o640),
		"etc/out":      treetest.Link("/etc/passwd"),
		"etc/dangling": treetest.Link("../../../../nowhere"),
		"usr/bin/ping": treetest.File("ping").Perm(0o755 | os.ModeSetuid),
		"run/pipe":     treetest.Fifo(),
		"tmp":          treetest.Dir(0o777 | os.ModeSticky),
		"late":         treetest.File("late"),
	})
	if err := os.Link(filepath.Join(dir, "etc/shadow"), filepath.Join(dir, "etc/shadow-")); err != nil {
		t.Fatal(err)
	}
	for name, when := range map[string]int64{"late": testEpoch + 1000, "etc/shadow": 1000, "etc": testEpoch + 5} {
		at := time.Unix(when, 500)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	root := os.Getuid() == 0
	if root {
		capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		for _, err := range []error{
			os.Chown(filepath.Join(dir, "usr/bin/ping"), 3, 4),
			os.Chmod(filepath.Join(dir, "usr/bin/ping"), 0o755|os.ModeSetuid),
			unix.Lsetxattr(filepath.Join(dir, "late"), content.Capability, capability, 0),
			unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	out, log, err := flatten(t, dir)
	if err != nil {
		t.Fatal(err, log)
	}
	if diff := treetest.Diff(treetest.Read(t, dir), treetest.Read(t, out)); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]int64{".": testEpoch, "etc": testEpoch, "usr/bin": testEpoch, "late": testEpoch, "etc/shadow": 1000} {
		st, err := os.Lstat(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := st.ModTime(); got.Unix() != want || got.Nanosecond() != 0 {
			t.Errorf("%s has the time %v, want %v", name, got, time.Unix(want, 0))
		}
	}
	a, errA := os.Stat(filepath.Join(out, "etc/shadow"))
	b, errB := os.Stat(filepath.Join(out, "etc/shadow-"))
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		t.Errorf("a hard link became a copy: %v, %v", errA, errB)
	}
	if value, err := content.ReadCapability(filepath.Join(out, "late")); err != nil || root && len(value) == 0 {
		t.Errorf("the capability is %v, %v", value, err)
	}
}

func TestFlattenWhiteout(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, treetest.Tree{"etc/.wh.passwd": treetest.File("")})
	if _, _, err := flatten(t, dir); err == nil || !strings.Contains(err.Error(), `"etc/.wh.passwd": it cannot be put into a layer`) {
		t.Error(err)
	}
}

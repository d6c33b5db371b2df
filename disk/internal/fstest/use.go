package fstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Use mounts a file system of Tree to be written to and works in it as a system
// would: what was made is extended, shortened and removed, and more is added.
// It skips the rest of the test where nothing can be mounted.
func Use(t *testing.T, part, kind string) {
	t.Helper()
	dir := t.TempDir()
	mountWritable(t, part, kind, dir)
	err := work(dir)
	if out, umount := exec.Command("umount", dir).CombinedOutput(); umount != nil {
		t.Errorf("umount: %s", out)
	}
	if err != nil {
		t.Error(err)
	}
}

// mountWritable mounts a file system. The loop device of a read-only mount that
// has just ended may be there for a moment still; mount takes it then, and the
// file system is read-only.
func mountWritable(t *testing.T, part, kind, dir string) {
	t.Helper()
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		if out, err := exec.Command("mount", "-t", kind, "-o", "loop", part, dir).CombinedOutput(); err != nil {
			t.Skipf("a file system of type %s cannot be mounted here: %s", kind, out)
		}
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil || st.Flags&unix.ST_RDONLY == 0 || wait > 5*time.Second {
			return // what is wrong shows when it is written to
		}
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Fatalf("umount: %s", out)
		}
		time.Sleep(wait)
	}
}

func work(dir string) error {
	var errs []error
	do := func(err error) { errs = append(errs, err) }
	name := func(form string, args ...any) string { return filepath.Join(dir, fmt.Sprintf(form, args...)) }
	for _, d := range []string{"empty", "short", "block", "leaf", "node"} {
		for i := range 200 {
			do(os.WriteFile(name("%s/new file %d", d, i), bytes.Repeat([]byte{byte(i)}, i*100), 0o600))
		}
	}
	for i := range 3000 {
		if i%3 == 0 {
			do(os.Remove(name("node/a name with number %d", i)))
		}
	}
	do(os.WriteFile(name("large"), bytes.Repeat([]byte("more data"), 2<<20), 0o600))
	do(os.Truncate(name("data/large"), 1<<20))
	do(os.Truncate(name("data/sparse"), 20<<20))
	do(os.Rename(name("leaf"), name("empty/leaf")))
	do(os.RemoveAll(name("block")))
	do(os.Remove(name("link1000")))
	f, err := os.OpenFile(name("data/holes"), os.O_RDWR, 0)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for at := int64(0); at < 6<<20; at += 200 << 10 {
		_, err := f.WriteAt([]byte("in a hole or not"), at)
		do(err)
	}
	do(f.Sync())
	do(f.Close())
	return errors.Join(errs...)
}

package fstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Use mounts a file system of Tree to be written to and works in it as a system
// would: what was made is extended, shortened and removed, and more is added.
// It skips the rest of the test where nothing can be mounted.
func Use(t *testing.T, part, kind string) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", kind, "-o", "loop", part, dir).CombinedOutput(); err != nil {
		t.Skipf("a file system of type %s cannot be mounted here: %s", kind, out)
	}
	err := work(dir)
	Unmount(t, part, dir)
	if err != nil {
		t.Error(err)
	}
}

// unmountTime is how long another mount namespace may hold a file system.
const unmountTime = time.Minute

// Unmount unmounts a file system and waits until the kernel is done with it: a
// process that makes a mount namespace of its own meanwhile keeps it in use for a
// moment, and what is not written yet is missing in the file until then.
func Unmount(t *testing.T, part, dir string) {
	t.Helper()
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		t.Errorf("umount: %s", out)
		return
	}
	for end := time.Now().Add(unmountTime); ; time.Sleep(20 * time.Millisecond) {
		device := loopOf(part)
		if device == "" {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s still uses %s", device, part)
			return
		}
	}
}

// loopOf returns the loop device that a file backs, or "".
func loopOf(part string) string {
	names, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, n := range names {
		if data, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(data)) == part {
			return filepath.Base(filepath.Dir(filepath.Dir(n)))
		}
	}
	return ""
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

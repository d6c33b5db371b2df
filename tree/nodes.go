package tree

import (
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// Link makes name another name of the file old. Neither is followed.
func (t *Root) Link(old, name string) error {
	a, err := t.Resolve(old, false)
	if err != nil {
		return err
	}
	b, err := t.Resolve(name, false)
	if err != nil {
		return err
	}
	return t.r.Link(a, b)
}

// Mknod makes the device or pipe name. The mode holds the type and the
// permissions in the form of mknod(2), of which the umask is taken off.
func (t *Root) Mknod(name string, mode uint32, dev uint64) error {
	return t.inParent("mknod", name, func(dir int, base string) error { return unix.Mknodat(dir, base, mode, int(dev)) })
}

// Lchtimes sets the modification and access time of name itself, which may be
// a link.
func (t *Root) Lchtimes(name string, when time.Time) error {
	ts, err := unix.TimeToTimespec(when)
	if err != nil {
		return &fs.PathError{Op: "chtimes", Path: name, Err: err}
	}
	return t.inParent("chtimes", name, func(dir int, base string) error {
		return unix.UtimesNanoAt(dir, base, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// inParent calls do with the directory that holds name, opened, for system
// calls that os.Root does not have.
func (t *Root) inParent(op, name string, do func(dir int, base string) error) error {
	rel, err := t.Resolve(name, false)
	if err != nil {
		return err
	}
	dir, err := t.r.OpenFile(path.Dir(rel), os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := do(int(dir.Fd()), path.Base(rel)); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

package tree

import (
	"io/fs"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// SetTimes gives all that is in the tree, and the tree itself, one modification
// and access time. Links get it themselves.
func (t *Root) SetTimes(when time.Time) error {
	ts, err := unix.TimeToTimespec(when)
	if err != nil {
		return err
	}
	fd, err := unix.Open(t.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: t.dir, Err: err}
	}
	defer unix.Close(fd)
	set := func(rel string) error {
		// No component of a name that Walk gives is a link.
		if err := unix.UtimesNanoAt(fd, rel, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "utimensat", Path: rel, Err: err}
		}
		return nil
	}
	if err := t.Walk(".", func(rel string, _ fs.DirEntry) error { return set(rel) }); err != nil {
		return err
	}
	return set(".")
}

package packages

import (
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/tree"
)

// clampTimes sets times after the epoch to the epoch. Links are among them.
func clampTimes(t *tree.Root, epoch int64) error {
	if epoch <= 0 {
		return nil
	}
	fd, err := unix.Open(t.Dir(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	c := clamper{dir: fd, limit: time.Unix(epoch, 0), set: map[inode]string{}}
	err = t.Walk(".", func(rel string, d fs.DirEntry) error {
		st, err := d.Info()
		if err != nil {
			return err
		}
		return c.clamp(rel, st)
	})
	if err != nil {
		return err
	}
	st, err := t.Lstat(".")
	if err != nil {
		return err
	}
	return c.clamp(".", st)
}

// inode tells files with several names from others.
type inode struct{ device, number uint64 }

// clamper sets times below an opened directory, by names that Walk has given: no
// component of them is a link, and nothing else works on the tree.
type clamper struct {
	dir   int
	limit time.Time
	// set holds the first name of each file with several whose time was set.
	set map[inode]string
}

func (c *clamper) clamp(rel string, st fs.FileInfo) error {
	if !st.ModTime().After(c.limit) {
		return nil
	}
	s, ok := st.Sys().(*unix.SysStat)
	if !ok || st.IsDir() || s.Nlink < 2 {
		return c.utime(rel, c.limit)
	}
	id := inode{uint64(s.Dev), s.Ino}
	first, again := c.set[id]
	if !again {
		c.set[id] = rel
		return c.utime(rel, c.limit)
	}
	// The file's time was set by its first name, and this one still has the old
	// time: the tree is an overlay, where that has made a copy of the file. The
	// copy gets this name too.
	return c.relink(first, rel)
}

// relink makes rel a name of the file first, and leaves the directory its time.
func (c *clamper) relink(first, rel string) error {
	dir := path.Dir(rel)
	var st unix.Stat_t
	if err := unix.Fstatat(c.dir, dir, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	var name string
	for i := 0; ; i++ {
		name = path.Join(dir, fmt.Sprintf(".osbuildkit-%d", i))
		err := unix.Linkat(c.dir, first, c.dir, name, 0)
		if err == nil {
			break
		}
		if err != unix.EEXIST || i == 1000 {
			return &fs.PathError{Op: "link", Path: rel, Err: err}
		}
	}
	if err := unix.Renameat(c.dir, name, c.dir, rel); err != nil {
		return &fs.PathError{Op: "rename", Path: rel, Err: err}
	}
	when := time.Unix(st.Mtim.Unix())
	if when.After(c.limit) {
		when = c.limit
	}
	return c.utime(dir, when)
}

func (c *clamper) utime(rel string, when time.Time) error {
	ts, err := unix.TimeToTimespec(when)
	if err == nil {
		err = unix.UtimesNanoAt(c.dir, rel, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return &fs.PathError{Op: "utimensat", Path: rel, Err: err}
	}
	return nil
}

//go:build unix

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// errDiskFull is the error of a disk that is full.
const errDiskFull = unix.ENOSPC

// pathSeparators are what stands between the names of a path.
const pathSeparators = "/"

// callerUmask is the umask of this process. It is read before anything runs beside,
// as it can only be read by setting it.
var callerUmask = func() fs.FileMode {
	mask := unix.Umask(0)
	unix.Umask(mask)
	return fs.FileMode(mask)
}()

// lockFile takes the lock of a file for this process; that another has it is an
// error. The lock ends when the file is closed.
func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// lockDirectory takes the lock of a directory.
func lockDirectory(dir string) (unlock func() error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// removeUnlocked removes a file or directory that no process has locked.
func removeUnlocked(dir *os.Root, e fs.DirEntry) {
	// It may be something else by now: nothing is waited for.
	f, err := dir.OpenFile(e.Name(), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return
	}
	if lockFile(f) == nil {
		_ = dir.RemoveAll(e.Name())
	}
	f.Close()
}

// freeSpace is what a user may still write to the disk of a directory.
func freeSpace(dir string) (size int64, known bool) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

// checkSticky tells whether the directory of a file lets its owner alone replace it.
func checkSticky(name string, owner int) error {
	var dir unix.Stat_t
	uid := os.Geteuid()
	if unix.Stat(filepath.Dir(name), &dir) == nil && uid != 0 && dir.Mode&unix.S_ISVTX != 0 && owner != uid && int(dir.Uid) != uid {
		return fmt.Errorf("%s belongs to another user, and its directory lets only the owner replace it: choose another directory", name)
	}
	return nil
}

package cli

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// errDiskFull is the error of a disk that is full.
const errDiskFull = windows.ERROR_DISK_FULL

// pathSeparators are what stands between the names of a path.
const pathSeparators = `/\`

// rngDevice is where qemu takes the guest's random numbers from.
const rngDevice = "rng-builtin,id=rng"

// callerUmask is 0: a file takes its rights from the directory.
const callerUmask fs.FileMode = 0

// lockFile takes the lock of a file for this process; that another has it is an
// error. The lock ends when the file is closed. It is on a byte far behind all
// content: what is locked here cannot be read by others.
func lockFile(f *os.File) error {
	at := &windows.Overlapped{OffsetHigh: 1 << 30}
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
}

// lockName is the file that stands for a directory: directories cannot be locked.
const lockName = ".lock"

// lockDirectory takes the lock of a directory.
func lockDirectory(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// removeUnlocked removes a file or directory that no process has locked. It must
// be closed first: nothing that is open can be removed.
func removeUnlocked(dir *os.Root, e fs.DirEntry) {
	name, flag := e.Name(), os.O_RDWR
	if e.IsDir() {
		name, flag = path.Join(name, lockName), os.O_RDWR|os.O_CREATE
	}
	f, err := dir.OpenFile(name, flag, 0o600)
	if err != nil {
		return
	}
	locked := lockFile(f)
	f.Close()
	if locked == nil {
		_ = dir.RemoveAll(e.Name())
	}
}

// freeSpace is what a user may still write to the disk of a directory.
func freeSpace(dir string) (size int64, known bool) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var free uint64
	if windows.GetDiskFreeSpaceEx(name, &free, nil, nil) != nil {
		return 0, false
	}
	return int64(min(free, 1<<63-1)), true
}

// guestAttributes has an interrupt reach this process alone, which ends the guest
// in its own time. A guest whose osbuildkit is killed goes on here.
func guestAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// checkReplaceable finds nothing: that a file is open elsewhere, or that a list
// keeps it, is seen when it is tried.
func checkReplaceable(string) error { return nil }

package unix

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the kernel tells of a file, of a file system, and a time.
type (
	Stat_t   = unix.Stat_t
	Statfs_t = unix.Statfs_t
	Timespec = unix.Timespec
	// SysStat is what fs.FileInfo.Sys points to.
	SysStat = syscall.Stat_t
)

// Types and bits of a file's mode.
const (
	S_IFMT   = unix.S_IFMT
	S_IFSOCK = unix.S_IFSOCK
	S_IFLNK  = unix.S_IFLNK
	S_IFREG  = unix.S_IFREG
	S_IFBLK  = unix.S_IFBLK
	S_IFDIR  = unix.S_IFDIR
	S_IFCHR  = unix.S_IFCHR
	S_IFIFO  = unix.S_IFIFO
	S_ISUID  = unix.S_ISUID
	S_ISGID  = unix.S_ISGID
	S_ISVTX  = unix.S_ISVTX
)

// Flags of functions.
const (
	O_RDONLY            = unix.O_RDONLY
	O_WRONLY            = unix.O_WRONLY
	O_CREAT             = unix.O_CREAT
	O_EXCL              = unix.O_EXCL
	O_CLOEXEC           = unix.O_CLOEXEC
	O_DIRECTORY         = unix.O_DIRECTORY
	O_NOFOLLOW          = unix.O_NOFOLLOW
	O_NONBLOCK          = unix.O_NONBLOCK
	AT_FDCWD            = unix.AT_FDCWD
	AT_SYMLINK_NOFOLLOW = unix.AT_SYMLINK_NOFOLLOW
	SEEK_DATA           = unix.SEEK_DATA
)

// Errors of functions.
const (
	EACCES  = unix.EACCES
	EEXIST  = unix.EEXIST
	ENODATA = unix.ENODATA
	ENOTDIR = unix.ENOTDIR
	ENOTSUP = unix.ENOTSUP
	ENXIO   = unix.ENXIO
	EPERM   = unix.EPERM
)

// Open opens a file.
func Open(path string, flags int, mode uint32) (int, error) { return unix.Open(path, flags, mode) }

// Openat opens a file in a directory.
func Openat(dir int, path string, flags int, mode uint32) (int, error) {
	return unix.Openat(dir, path, flags, mode)
}

// Close closes a file.
func Close(fd int) error { return unix.Close(fd) }

// Seek moves to an offset, or to data or a hole behind it.
func Seek(fd int, offset int64, whence int) (int64, error) { return unix.Seek(fd, offset, whence) }

// Stat describes what a path leads to.
func Stat(path string, st *Stat_t) error { return unix.Stat(path, st) }

// Lstat describes a path itself.
func Lstat(path string, st *Stat_t) error { return unix.Lstat(path, st) }

// Fstat describes an open file.
func Fstat(fd int, st *Stat_t) error { return unix.Fstat(fd, st) }

// Fstatat describes a file in a directory.
func Fstatat(dir int, path string, st *Stat_t, flags int) error {
	return unix.Fstatat(dir, path, st, flags)
}

// Sys returns what fs.FileInfo.Sys returns for such a file.
func Sys(s *Stat_t) any {
	return &SysStat{
		Dev: s.Dev, Ino: s.Ino, Nlink: s.Nlink, Mode: s.Mode, Uid: s.Uid, Gid: s.Gid, Rdev: s.Rdev,
		Size: s.Size, Blksize: s.Blksize, Blocks: s.Blocks,
		Atim: syscall.Timespec(s.Atim), Mtim: syscall.Timespec(s.Mtim), Ctim: syscall.Timespec(s.Ctim),
	}
}

// Statfs describes the file system of a path.
func Statfs(path string, st *Statfs_t) error { return unix.Statfs(path, st) }

// Readlinkat reads a link in a directory.
func Readlinkat(dir int, path string, buf []byte) (int, error) {
	return unix.Readlinkat(dir, path, buf)
}

// Linkat gives a file a second name.
func Linkat(oldDir int, old string, newDir int, name string, flags int) error {
	return unix.Linkat(oldDir, old, newDir, name, flags)
}

// Renameat moves a file.
func Renameat(oldDir int, old string, newDir int, name string) error {
	return unix.Renameat(oldDir, old, newDir, name)
}

// Symlinkat makes a link in a directory.
func Symlinkat(target string, dir int, name string) error { return unix.Symlinkat(target, dir, name) }

// Mkdirat makes a directory in another.
func Mkdirat(dir int, path string, mode uint32) error { return unix.Mkdirat(dir, path, mode) }

// Mknod makes a device or a pipe.
func Mknod(path string, mode uint32, dev int) error { return unix.Mknod(path, mode, dev) }

// Mknodat makes a device or a pipe in a directory.
func Mknodat(dir int, path string, mode uint32, dev int) error {
	return unix.Mknodat(dir, path, mode, dev)
}

// Fchownat sets the owner of a file in a directory.
func Fchownat(dir int, path string, uid, gid, flags int) error {
	return unix.Fchownat(dir, path, uid, gid, flags)
}

// Fchmodat sets the mode of a file in a directory.
func Fchmodat(dir int, path string, mode uint32, flags int) error {
	return unix.Fchmodat(dir, path, mode, flags)
}

// UtimesNanoAt sets the times of a file in a directory.
func UtimesNanoAt(dir int, path string, times []Timespec, flags int) error {
	return unix.UtimesNanoAt(dir, path, times, flags)
}

// TimeToTimespec turns a time into what the kernel takes.
func TimeToTimespec(t time.Time) (Timespec, error) { return unix.TimeToTimespec(t) }

// Lgetxattr reads an attribute of a path itself.
func Lgetxattr(path, name string, value []byte) (int, error) {
	return unix.Lgetxattr(path, name, value)
}

// Lsetxattr sets an attribute of a path itself.
func Lsetxattr(path, name string, value []byte, flags int) error {
	return unix.Lsetxattr(path, name, value, flags)
}

// Lremovexattr removes an attribute of a path itself.
func Lremovexattr(path, name string) error { return unix.Lremovexattr(path, name) }

// Llistxattr lists the names of the attributes of a path itself.
func Llistxattr(path string, names []byte) (int, error) { return unix.Llistxattr(path, names) }

// Major returns the first number of a device.
func Major(dev uint64) uint32 { return unix.Major(dev) }

// Minor returns the second number of a device.
func Minor(dev uint64) uint32 { return unix.Minor(dev) }

// Mkdev joins the numbers of a device.
func Mkdev(major, minor uint32) uint64 { return unix.Mkdev(major, minor) }

// ChrootAttr has a program started with another directory as its root.
func ChrootAttr(root string) (*syscall.SysProcAttr, error) {
	return &syscall.SysProcAttr{Chroot: root}, nil
}

//go:build !linux

package unix

import (
	"errors"
	"syscall"
	"time"
)

// ErrUnsupported is what all functions return that would ask the kernel.
var ErrUnsupported = errors.New("modules run on Linux only")

// Stat_t has the fields of Linux that modules look at.
type Stat_t struct {
	Dev, Ino, Nlink  uint64
	Mode, Uid, Gid   uint32
	Rdev             uint64
	Size, Blocks     int64
	Atim, Mtim, Ctim Timespec
}

// Statfs_t has the fields of Linux that modules look at.
type Statfs_t struct {
	Type, Bsize int64
	Bavail      uint64
}

// Timespec is a time as Linux has it.
type Timespec struct{ Sec, Nsec int64 }

// Unix returns seconds and nanoseconds.
func (t Timespec) Unix() (sec, nsec int64) { return t.Sec, t.Nsec }

// SysStat is what fs.FileInfo.Sys points to on Linux.
type SysStat Stat_t

// Types and bits of a file's mode: those of Linux, which trees and images have.
const (
	S_IFMT   = 0o170000
	S_IFSOCK = 0o140000
	S_IFLNK  = 0o120000
	S_IFREG  = 0o100000
	S_IFBLK  = 0o060000
	S_IFDIR  = 0o040000
	S_IFCHR  = 0o020000
	S_IFIFO  = 0o010000
	S_ISUID  = 0o4000
	S_ISGID  = 0o2000
	S_ISVTX  = 0o1000
)

// Flags of functions. Those that the package os takes as well, which code reaches
// that reads files on every system, are without effect.
const (
	O_RDONLY            = syscall.O_RDONLY
	O_WRONLY            = syscall.O_WRONLY
	O_CREAT             = syscall.O_CREAT
	O_EXCL              = syscall.O_EXCL
	O_CLOEXEC           = syscall.O_CLOEXEC
	O_DIRECTORY         = 0
	O_NOFOLLOW          = 0
	O_NONBLOCK          = 0
	AT_FDCWD            = -100
	AT_SYMLINK_NOFOLLOW = 0x100
	SEEK_DATA           = 3
)

// Errors of functions.
const (
	EACCES  = syscall.EACCES
	EEXIST  = syscall.EEXIST
	ENODATA = syscall.ENODATA
	ENOTDIR = syscall.ENOTDIR
	ENOTSUP = syscall.ENOTSUP
	ENXIO   = syscall.ENXIO
	EPERM   = syscall.EPERM
)

// Open needs Linux.
func Open(string, int, uint32) (int, error) { return -1, ErrUnsupported }

// Openat needs Linux.
func Openat(int, string, int, uint32) (int, error) { return -1, ErrUnsupported }

// Close needs Linux.
func Close(int) error { return ErrUnsupported }

// Seek needs Linux.
func Seek(int, int64, int) (int64, error) { return -1, ErrUnsupported }

// Stat needs Linux.
func Stat(string, *Stat_t) error { return ErrUnsupported }

// Lstat needs Linux.
func Lstat(string, *Stat_t) error { return ErrUnsupported }

// Fstat needs Linux.
func Fstat(int, *Stat_t) error { return ErrUnsupported }

// Fstatat needs Linux.
func Fstatat(int, string, *Stat_t, int) error { return ErrUnsupported }

// Statfs needs Linux.
func Statfs(string, *Statfs_t) error { return ErrUnsupported }

// Readlinkat needs Linux.
func Readlinkat(int, string, []byte) (int, error) { return -1, ErrUnsupported }

// Linkat needs Linux.
func Linkat(int, string, int, string, int) error { return ErrUnsupported }

// Renameat needs Linux.
func Renameat(int, string, int, string) error { return ErrUnsupported }

// Symlinkat needs Linux.
func Symlinkat(string, int, string) error { return ErrUnsupported }

// Mkdirat needs Linux.
func Mkdirat(int, string, uint32) error { return ErrUnsupported }

// Mknod needs Linux.
func Mknod(string, uint32, int) error { return ErrUnsupported }

// Mknodat needs Linux.
func Mknodat(int, string, uint32, int) error { return ErrUnsupported }

// Fchownat needs Linux.
func Fchownat(int, string, int, int, int) error { return ErrUnsupported }

// Fchmodat needs Linux.
func Fchmodat(int, string, uint32, int) error { return ErrUnsupported }

// UtimesNanoAt needs Linux.
func UtimesNanoAt(int, string, []Timespec, int) error { return ErrUnsupported }

// Lgetxattr needs Linux.
func Lgetxattr(string, string, []byte) (int, error) { return -1, ErrUnsupported }

// Lsetxattr needs Linux.
func Lsetxattr(string, string, []byte, int) error { return ErrUnsupported }

// Lremovexattr needs Linux.
func Lremovexattr(string, string) error { return ErrUnsupported }

// Llistxattr needs Linux.
func Llistxattr(string, []byte) (int, error) { return -1, ErrUnsupported }

// Sys returns what fs.FileInfo.Sys returns for such a file on Linux.
func Sys(s *Stat_t) any { return (*SysStat)(s) }

// TimeToTimespec turns a time into what the kernel of Linux takes.
func TimeToTimespec(t time.Time) (Timespec, error) {
	return Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}, nil
}

// Major returns the first number of a device of Linux.
func Major(dev uint64) uint32 { return uint32(dev>>8&0xfff | dev>>32&0xfffff000) }

// Minor returns the second number of a device of Linux.
func Minor(dev uint64) uint32 { return uint32(dev&0xff | dev>>12&0xffffff00) }

// Mkdev joins the numbers of a device of Linux.
func Mkdev(major, minor uint32) uint64 {
	ma, mi := uint64(major), uint64(minor)
	return ma&0xfff<<8 | ma&0xfffff000<<32 | mi&0xff | mi&0xffffff00<<12
}

// ChrootAttr needs Linux.
func ChrootAttr(string) (*syscall.SysProcAttr, error) { return nil, ErrUnsupported }

package limit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// Bounds of what a command reads and unpacks. They grow with what the file of
// the image really holds, holes left out: a large image may cost more.
const (
	// ReadFloor and ReadRatio bound the bytes that are read from a disk, with
	// those that its container had to unpack for it. Metadata of an honest disk
	// is read a few times over; the floor is some seconds of work.
	ReadFloor, ReadRatio = 8 << 30, 64
	// UnpackFloor and UnpackRatio bound the length of what a compressed file
	// unpacks to, holes included. No format that is read here makes zeros more
	// than 32768 times smaller, and an honest disk is more than zeros.
	UnpackFloor, UnpackRatio = 64 << 30, 16 << 10
	// DataFloor and DataRatio bound the part of it that is not zero, and so
	// what a temporary file takes. Deflate makes nothing more than 1032 times
	// smaller, and the files of a system are made 2 to 20 times smaller.
	DataFloor, DataRatio = 512 << 20, 256
)

// Bounds of what is looked at.
const (
	// MaxFiles is how many files and directories a command looks at: a disk of
	// 128 GiB has as many inodes by default.
	MaxFiles = 8 << 20
	// MaxPath is the longest path of a file in bytes, as PATH_MAX of Linux, and
	// MaxDepth how many directories such a path can name.
	MaxPath, MaxDepth = 4096, 2048
	// MaxNames is how many bytes the names may take that are held at a time:
	// those of all directories above the file that is looked at.
	MaxNames = 256 << 20
	// MaxVolumes is how many partitions are looked into: as many as a partition
	// table has room for by default.
	MaxVolumes = 128
	// MaxLoaders is how many programs for UEFI are looked into, and
	// MaxLoaderBytes how much of all of them: kernels and boot loaders have a
	// few MiB before what tells them.
	MaxLoaders, MaxLoaderBytes = 64, 256 << 20
)

// ErrExceeded says that work on a disk was ended because it goes beyond what an
// honest disk needs.
var ErrExceeded = errors.New("the limit for a disk is exceeded")

// Exceeded is the error for one bound: which one, and what it is.
func Exceeded(name string, most int64, what string) error {
	return fmt.Errorf("%w: %s = %d %s", ErrExceeded, name, most, what)
}

// Budget is what one command may spend, and its context. It is safe for several
// goroutines. A nil Budget has no bounds and does not end.
type Budget struct {
	ctx                           context.Context
	held                          int64
	read, unpacked, data, files   atomic.Int64
	volumes, loaders, loaderBytes atomic.Int64
}

// New returns a budget for a file that holds the given number of bytes.
func New(ctx context.Context, held int64) *Budget { return &Budget{ctx: ctx, held: max(0, held)} }

// Err is the reason why the command is to end, nil while it is not.
func (b *Budget) Err() error {
	if b == nil || b.ctx.Err() == nil {
		return nil
	}
	return context.Cause(b.ctx)
}

// Context is that of the command.
func (b *Budget) Context() context.Context {
	if b == nil {
		return context.Background()
	}
	return b.ctx
}

// spend counts n and compares the sum with a bound.
func (b *Budget) spend(sum *atomic.Int64, n, most int64, name, what string) error {
	if err := b.Err(); err != nil {
		return err
	}
	if sum.Add(n) > most {
		return Exceeded(name, most, what)
	}
	return nil
}

// scaled is a bound that grows with the file.
func (b *Budget) scaled(floor, ratio int64) int64 {
	const most = 1 << 62
	if b.held > (most-floor)/ratio {
		return most
	}
	return floor + ratio*b.held
}

// Read counts bytes that are read from the disk or unpacked to read it.
func (b *Budget) Read(n int64) error {
	if b == nil {
		return nil
	}
	return b.spend(&b.read, n, b.scaled(ReadFloor, ReadRatio), "ReadFloor + ReadRatio * bytes of the file", "bytes that are read of it")
}

// Unpack counts bytes that a compressed file has given.
func (b *Budget) Unpack(n int64) error {
	if b == nil {
		return nil
	}
	return b.spend(&b.unpacked, n, b.scaled(UnpackFloor, UnpackRatio), "UnpackFloor + UnpackRatio * bytes of the file", "bytes that it unpacks to")
}

// Data counts bytes that are written to a temporary file.
func (b *Budget) Data(n int64) error {
	if b == nil {
		return nil
	}
	return b.spend(&b.data, n, b.scaled(DataFloor, DataRatio), "DataFloor + DataRatio * bytes of the file", "bytes of data that it unpacks to")
}

// Files counts files that are looked at.
func (b *Budget) Files(n int64) error {
	if b == nil {
		return nil
	}
	return b.spend(&b.files, n, MaxFiles, "MaxFiles", "files and directories")
}

// Volume counts a partition that is looked into.
func (b *Budget) Volume() error {
	if b == nil {
		return nil
	}
	return b.spend(&b.volumes, 1, MaxVolumes, "MaxVolumes", "partitions that are looked into")
}

// Loader counts a program that may be a boot loader.
func (b *Budget) Loader() error {
	if b == nil {
		return nil
	}
	return b.spend(&b.loaders, 1, MaxLoaders, "MaxLoaders", "programs for UEFI that are looked into")
}

// LoaderBytes counts what is read of such a program.
func (b *Budget) LoaderBytes(n int64) error {
	if b == nil {
		return nil
	}
	return b.spend(&b.loaderBytes, n, MaxLoaderBytes, "MaxLoaderBytes", "bytes of programs for UEFI")
}

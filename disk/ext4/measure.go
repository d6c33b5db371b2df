package ext4

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// Usage is what a tree takes in a file system, at the least.
type Usage struct {
	// Blocks is the number of data blocks, those of directories included.
	Blocks int64
	// Inodes is the number of inodes: names of one hard link count once.
	Inodes int64
}

// Bytes returns the size of the data in bytes, that of inodes included.
func (u Usage) Bytes() int64 { return u.Blocks*BlockSize + u.Inodes*inodeSize }

// TooSmallError says that a tree does not fit into its file system.
type TooSmallError struct {
	// Needed is an estimate of the bytes that the file system must have;
	// Available is what it has.
	Needed, Available int64
}

// Error gives both numbers.
func (e *TooSmallError) Error() string {
	return fmt.Sprintf("the tree does not fit: it needs a file system of about %d bytes (%d MiB), and there are %d bytes (%d MiB)",
		e.Needed, (e.Needed+1<<20-1)>>20, e.Available, e.Available>>20)
}

// Measure walks a tree without following links. Holes are not counted where
// the builder's file system knows them. The result is a lower bound.
func Measure(ctx context.Context, tree string) (Usage, error) {
	type id struct{ dev, ino uint64 }
	seen := map[id]bool{}
	var use Usage
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if use.Inodes&0xff == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sys, ok := info.Sys().(*syscall.Stat_t)
		if ok && !info.IsDir() && sys.Nlink > 1 {
			k := id{uint64(sys.Dev), sys.Ino}
			if seen[k] {
				return nil
			}
			seen[k] = true
		}
		use.Inodes++
		switch {
		case info.IsDir():
			use.Blocks++
		case info.Mode().IsRegular():
			size := info.Size()
			if ok {
				size = min(size, sys.Blocks*512)
			}
			use.Blocks += (size + BlockSize - 1) / BlockSize
		case info.Mode()&fs.ModeSymlink != 0 && info.Size() >= 60:
			// Shorter links live in the inode.
			use.Blocks++
		}
		return nil
	})
	if err != nil {
		return Usage{}, fmt.Errorf("measuring the tree: %w", err)
	}
	return use, nil
}

// inodes returns how many inodes the file system should have at the least:
// those of the tree, the reserved ones and some room to live.
func (u Usage) inodes() int64 { return u.Inodes + u.Inodes/4 + 1024 }

// Needed returns a lower bound for the bytes that the tree needs in a file
// system of the given size, which decides on the journal and the inodes.
func (u Usage) Needed(size int64) int64 {
	inodes := u.inodes()
	if n := size / inodeRatio; n > inodes {
		inodes = n
	}
	return u.Blocks*BlockSize + inodes*inodeSize + journal(size)
}

// journal returns the bytes that mke2fs gives to the journal by default.
func journal(size int64) int64 {
	switch {
	case size < 128<<20:
		return 4 << 20
	case size < 1<<30:
		return 16 << 20
	case size < 2<<30:
		return 32 << 20
	case size < 16<<30:
		return 64 << 20
	case size < 32<<30:
		return 128 << 20
	case size < 64<<30:
		return 256 << 20
	case size < 128<<30:
		return 512 << 20
	}
	return 1 << 30
}

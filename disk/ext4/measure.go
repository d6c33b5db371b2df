package ext4

import "github.com/osbuildkit/osbuildkit/disk/content"

// inodeCount returns how many inodes the file system should have at the least:
// those of the tree, the reserved ones and some room to live.
func inodeCount(u content.Usage) int64 { return u.Inodes + u.Inodes/4 + 1024 }

// Needed returns a lower bound for the bytes that a tree needs in a file
// system of the given size, which decides on the journal and the inodes.
func Needed(u content.Usage, size int64) int64 {
	inodes := inodeCount(u)
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

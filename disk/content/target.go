package content

import (
	"io"

	"github.com/osbuildkit/osbuildkit/disk"
)

// Target says where a file system goes and what it is called.
type Target struct {
	// Disk is what is written to, each byte once. It reads as zeros where the
	// file system goes.
	Disk io.WriterAt
	// Offset and Size give the place in bytes. What does not fill a block at
	// the end is left alone.
	Offset, Size int64
	// UUID is the identifier of the file system; further ones are derived from
	// it. A FAT has a shorter one, the first four bytes.
	UUID disk.UUID
	// Label is the volume label. It may be empty.
	Label string
	// Epoch is the time of the build in seconds since 1970.
	Epoch int64
	// Profile says which systems must be able to read the file system; empty
	// means DefaultProfile. Only ext4 and XFS have features that depend on it.
	Profile Profile
}

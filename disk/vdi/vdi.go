package vdi

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Options says how an image is written.
type Options struct {
	// ID identifies the image, and Snapshot its content.
	ID, Snapshot disk.UUID
}

// MaxSize is the size in bytes of the largest disk, which its table of blocks
// can hold.
const MaxSize = 0x3fffffff << 20

const (
	blockSize  = 1 << 20
	headerSize = 512
	unused     = 0xffffffff
	dynamic    = 1
)

// Write writes the first size bytes of src as an image to dst, which must be
// empty. The header comes last: what an interrupted Write leaves is not taken
// for an image. size must be a positive multiple of 512.
func Write(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64, o Options) error {
	if size <= 0 || size%disk.SectorSize != 0 || size > MaxSize {
		return fmt.Errorf("a vdi disk of %d bytes is not possible: the size must be a multiple of %d of up to %d", size, disk.SectorSize, int64(MaxSize))
	}
	le := binary.LittleEndian
	blocks := (size + blockSize - 1) / blockSize
	table := make([]byte, blocks*4)
	for i := range blocks {
		le.PutUint32(table[i*4:], unused)
	}
	data := (headerSize + int64(len(table)) + blockSize - 1) / blockSize * blockSize
	used := int64(0)
	err := sparse.Blocks(ctx, src, size, sparse.Work{Block: blockSize}, func(index int64, raw, _ []byte) error {
		le.PutUint32(table[index*4:], uint32(used))
		used++
		_, err := dst.WriteAt(raw, data+(used-1)*blockSize)
		return err
	})
	if err != nil {
		return err
	}
	if used == 0 {
		// The file reaches to where data would start.
		if _, err := dst.WriteAt([]byte{0}, data-1); err != nil {
			return err
		}
	}
	if _, err := dst.WriteAt(table, headerSize); err != nil {
		return err
	}
	h := make([]byte, headerSize)
	copy(h, "<<< Oracle VM VirtualBox Disk Image >>>\n")
	le.PutUint32(h[0x40:], 0xbeda107f)
	le.PutUint32(h[0x44:], 1<<16|1)
	le.PutUint32(h[0x48:], 0x190)
	le.PutUint32(h[0x4c:], dynamic)
	le.PutUint32(h[0x154:], headerSize)
	le.PutUint32(h[0x158:], uint32(data))
	le.PutUint32(h[0x168:], disk.SectorSize)
	le.PutUint64(h[0x170:], uint64(size))
	le.PutUint32(h[0x178:], blockSize)
	le.PutUint32(h[0x180:], uint32(blocks))
	le.PutUint32(h[0x184:], uint32(used))
	copy(h[0x188:], o.ID.Mixed())
	copy(h[0x198:], o.Snapshot.Mixed())
	_, err = dst.WriteAt(h, 0)
	return err
}

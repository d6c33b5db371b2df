package vpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Options says how an image is written.
type Options struct {
	// Dynamic leaves out what is zero.
	Dynamic bool
	// ID identifies the image.
	ID disk.UUID
	// Time is when it was made, in seconds since 1970; the format knows none
	// before the year 2000.
	Time int64
}

// MaxSize is the size in bytes of the largest disk that the format allows.
const MaxSize = 2040 << 30

const (
	footerSize = 512
	headerSize = 1024
	blockSize  = 2 << 20
	bitmapSize = blockSize / disk.SectorSize / 8
	unused     = 0xffffffff
	// year2000 is the start of the format's time.
	year2000 = 946684800
)

// Write writes the first size bytes of src as an image to dst, which must be
// empty. size must be a positive multiple of 512.
func Write(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64, o Options) error {
	if size <= 0 || size%disk.SectorSize != 0 || size > MaxSize {
		return fmt.Errorf("a vpc disk of %d bytes is not possible: the size must be a multiple of %d of up to %d, which is 2040 GiB", size, disk.SectorSize, int64(MaxSize))
	}
	if o.Dynamic {
		return writeDynamic(ctx, dst, src, size, o)
	}
	err := sparse.Blocks(ctx, src, size, sparse.Work{Block: 1 << 20}, func(index int64, raw, _ []byte) error {
		at := index << 20
		_, err := dst.WriteAt(raw[:min(int64(len(raw)), size-at)], at)
		return err
	})
	if err != nil {
		return err
	}
	_, err = dst.WriteAt(Footer(size, o), size)
	return err
}

// Footer is what follows the raw disk in a fixed image.
func Footer(size int64, o Options) []byte {
	be := binary.BigEndian
	b := make([]byte, footerSize)
	copy(b, "conectix")
	be.PutUint32(b[8:], 2)
	be.PutUint32(b[12:], 1<<16)
	be.PutUint64(b[16:], 1<<64-1)
	kind := uint32(2)
	if o.Dynamic {
		kind = 3
		be.PutUint64(b[16:], footerSize)
	}
	be.PutUint32(b[24:], uint32(min(max(0, o.Time-year2000), 1<<32-1)))
	// Of an image by this creator readers take the size and not the geometry.
	copy(b[28:], "win ")
	be.PutUint32(b[32:], 0x000a0000)
	copy(b[36:], "Wi2k")
	be.PutUint64(b[40:], uint64(size))
	be.PutUint64(b[48:], uint64(size))
	cylinders, heads, sectors := geometry(size / disk.SectorSize)
	be.PutUint16(b[56:], uint16(cylinders))
	b[58], b[59] = byte(heads), byte(sectors)
	be.PutUint32(b[60:], kind)
	copy(b[68:], o.ID[:])
	be.PutUint32(b[64:], checksum(b))
	return b
}

// checksum is the complement of the sum of all bytes.
func checksum(b []byte) uint32 {
	sum := uint32(0)
	for _, c := range b {
		sum += uint32(c)
	}
	return ^sum
}

// geometry is the calculation of the specification's appendix.
func geometry(total int64) (cylinders, heads, sectors int64) {
	total = min(total, 65535*16*255)
	if total >= 65535*16*63 {
		return total / 255 / 16, 16, 255
	}
	sectors = 17
	heads = max(4, (total/sectors+1023)/1024)
	if total/sectors >= heads*1024 || heads > 16 {
		sectors, heads = 31, 16
	}
	if total/sectors >= heads*1024 {
		sectors, heads = 63, 16
	}
	return total / sectors / heads, heads, sectors
}

func writeDynamic(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64, o Options) error {
	be := binary.BigEndian
	blocks := (size + blockSize - 1) / blockSize
	table := bytes.Repeat([]byte{0xff}, int((blocks*4+disk.SectorSize-1)/disk.SectorSize*disk.SectorSize))
	at := int64(footerSize+headerSize) + int64(len(table))
	bitmap := bytes.Repeat([]byte{0xff}, bitmapSize)
	err := sparse.Blocks(ctx, src, size, sparse.Work{Block: blockSize}, func(index int64, raw, _ []byte) error {
		be.PutUint32(table[index*4:], uint32(at/disk.SectorSize))
		if _, err := dst.WriteAt(bitmap, at); err != nil {
			return err
		}
		_, err := dst.WriteAt(raw, at+bitmapSize)
		at += bitmapSize + blockSize
		return err
	})
	if err != nil {
		return err
	}
	h := make([]byte, headerSize)
	copy(h, "cxsparse")
	be.PutUint64(h[8:], 1<<64-1)
	be.PutUint64(h[16:], footerSize+headerSize)
	be.PutUint32(h[24:], 1<<16)
	be.PutUint32(h[28:], uint32(blocks))
	be.PutUint32(h[32:], blockSize)
	be.PutUint32(h[36:], checksum(h))
	footer := Footer(size, o)
	for _, part := range []struct {
		data []byte
		at   int64
	}{{footer, at}, {table, footerSize + headerSize}, {h, footerSize}, {footer, 0}} {
		if _, err := dst.WriteAt(part.data, part.at); err != nil {
			return err
		}
	}
	return nil
}

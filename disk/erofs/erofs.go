package erofs

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

var le = binary.LittleEndian

const (
	blockSize = 4096
	// superAt is where the superblock begins, superSize its size.
	superAt   = 1024
	superSize = 128
	// slot is the unit in which inodes are counted.
	slot = 32
	// chunk is the size of a chunk of a large file, which a file is from
	// minChunked bytes on.
	chunk      = content.HoleSize
	minChunked = 1 << 20
	maxBlocks  = 1<<32 - 2
	noBlock    = 0xffffffff
)

// MinSize is the size in bytes of the smallest file system that Make makes.
const MinSize = 64 << 10

// MaxLabel is the length of the longest label in bytes.
const MaxLabel = 16

// Layouts of the data of an inode.
const (
	layoutPlain  = 0
	layoutInline = 2
	layoutChunks = 4
)

// Bits of the superblock.
const (
	compatChecksum, compatTimes = 0x1, 0x2
	incompatChunks              = 0x4
)

// writer writes one file system.
type writer struct {
	c   *content.Tree
	to  content.Target
	buf []byte

	places map[*content.File]*place
	meta   []byte // what is not written yet of the inodes
	metaAt int64  // where it begins
	first  []byte // the first block, which is written last
	next   int64  // first block that nothing uses
	end    int64  // number of blocks that there are
	chunks bool
}

// place is where an inode is and what it consists of.
type place struct {
	at     int64 // in bytes
	attrs  []byte
	layout byte
	// inside is how many bytes of data, or of the list of chunks, follow the
	// attributes.
	inside int64
	size   int64
}

// Needed returns a lower bound for the size in bytes that content needs.
func Needed(use content.Usage, _ int64) int64 {
	// The last block of a file may be part of its inode.
	return max(0, use.Blocks-use.Inodes)*blockSize + use.Inodes*inodeSize
}

// Make writes the file system. The error is a *content.TooSmallError if the
// content does not fit.
func Make(ctx context.Context, c *content.Tree, to content.Target) ([]string, error) {
	if to.Size < MinSize {
		return nil, fmt.Errorf("an EROFS file system of %d bytes is too small: make it at least %d", to.Size, int64(MinSize))
	}
	if len(to.Label) > MaxLabel {
		return nil, fmt.Errorf("the EROFS label %q is longer than %d bytes", to.Label, MaxLabel)
	}
	w := &writer{c: c, to: to, buf: make([]byte, 1<<20), places: map[*content.File]*place{}, end: min(to.Size/blockSize, maxBlocks)}
	w.meta = make([]byte, superAt+superSize)
	if err := w.layout(); err != nil {
		return nil, err
	}
	parents := content.Parents(c.Files)
	for i, f := range c.Files {
		if i&0xff == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := w.file(ctx, f, parents[f], uint32(i)+1); err != nil {
			return nil, content.At(f, err)
		}
	}
	return nil, w.finish()
}

// layout gives every inode its place, in the order of the files, so that the
// root is where 16 bits can say it.
func (w *writer) layout() error {
	at := int64(superAt + superSize)
	for _, f := range w.c.Files {
		p, err := planInode(f)
		if err != nil {
			return content.At(f, err)
		}
		length := int64(inodeSize+len(p.attrs)) + p.inside
		// What belongs to an inode stays in one block, if it can.
		if room := blockSize - at%blockSize; length > room && (p.layout == layoutInline || length <= blockSize) {
			at += room
		}
		p.at = at
		at = (at + length + slot - 1) / slot * slot
		w.places[f] = p
	}
	w.next = (at + blockSize - 1) / blockSize
	if w.next > w.end {
		return w.full()
	}
	return nil
}

// full is the error for a file system without a free block.
func (w *writer) full() error {
	use := w.c.Usage()
	need := use.Bytes() + use.Bytes()/50
	return &content.TooSmallError{Needed: max(need, w.to.Size+w.to.Size/20), Available: w.to.Size}
}

// take takes n blocks and returns the first.
func (w *writer) take(n int64) (int64, error) {
	at := w.next
	if w.next += n; w.next > w.end {
		return 0, w.full()
	}
	return at, nil
}

func (w *writer) writeBlocks(first int64, b []byte) error {
	_, err := w.to.Disk.WriteAt(b, w.to.Offset+first*blockSize)
	return err
}

// put appends to the inodes. Whole blocks are written, but for the first.
func (w *writer) put(at int64, parts ...[]byte) error {
	w.meta = append(w.meta, make([]byte, at-w.metaAt-int64(len(w.meta)))...)
	for _, p := range parts {
		w.meta = append(w.meta, p...)
	}
	return w.flush(len(w.meta) / blockSize * blockSize)
}

// flush writes the first n bytes of the inodes that are not written.
func (w *writer) flush(n int) error {
	if n == 0 {
		return nil
	}
	b := w.meta[:n]
	first := w.metaAt / blockSize
	if first == 0 {
		w.first, b = append([]byte(nil), b[:blockSize]...), b[blockSize:]
		first = 1
	}
	if len(b) > 0 {
		if err := w.writeBlocks(first, b); err != nil {
			return err
		}
	}
	w.metaAt += int64(n)
	w.meta = append([]byte(nil), w.meta[n:]...)
	return nil
}

// finish writes the superblock, with the block that it is in.
func (w *writer) finish() error {
	if rest := len(w.meta) % blockSize; rest != 0 {
		w.meta = append(w.meta, make([]byte, blockSize-rest)...)
	}
	if err := w.flush(len(w.meta)); err != nil {
		return err
	}
	const magic = 0xe0f5e1e2
	b := w.first[superAt:]
	le.PutUint32(b, magic)
	le.PutUint32(b[8:], compatChecksum|compatTimes)
	b[12] = 12 // blocks of 1 << 12 bytes
	le.PutUint16(b[14:], uint16(w.nid(w.c.Root)))
	le.PutUint64(b[16:], uint64(len(w.c.Files)))
	le.PutUint64(b[24:], uint64(w.to.Epoch))
	le.PutUint32(b[36:], uint32(w.next))
	copy(b[48:], w.to.UUID[:])
	copy(b[64:], w.to.Label)
	if w.chunks {
		le.PutUint32(b[80:], incompatChunks)
	}
	// The checksum has no inversion at its end.
	le.PutUint32(b[4:], ^crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return w.writeBlocks(0, w.first)
}

// nid returns the number of an inode, which is its place.
func (w *writer) nid(f *content.File) int64 { return w.places[f].at / slot }

// data writes the data of a file that lies in whole blocks, and returns the
// first block and what belongs to the inode.
func (w *writer) data(ctx context.Context, f *content.File, p *place) (first int64, inside []byte, err error) {
	if p.layout == layoutChunks {
		inside, err = w.chunked(ctx, f)
		return 0, inside, err
	}
	outside := p.size - p.inside
	if first, err = w.take((outside + blockSize - 1) / blockSize); err != nil {
		return 0, nil, err
	}
	inside = make([]byte, p.inside)
	put := func(off int64, data []byte) error {
		if n := outside - off; n > 0 {
			part := data
			if int64(len(data)) > n {
				part = data[:n]
			}
			if err := w.writeBlocks(first+off/blockSize, content.Whole(part, blockSize)); err != nil {
				return err
			}
			data, off = data[len(part):], off+int64(len(part))
		}
		if len(data) > 0 {
			copy(inside[off-outside:], data)
		}
		return nil
	}
	switch f.Kind() {
	case unix.S_IFREG:
		return first, inside, w.c.Data(ctx, f, w.buf, put)
	case unix.S_IFLNK:
		return first, inside, put(0, padded([]byte(f.Link)))
	}
	return first, inside, nil
}

// padded returns data with zeros behind it up to a whole block, as
// content.Whole wants it.
func padded(data []byte) []byte {
	b := make([]byte, (len(data)+blockSize-1)/blockSize*blockSize)
	return b[:copy(b, data)]
}

// chunked writes a large file and returns the list of its chunks.
func (w *writer) chunked(ctx context.Context, f *content.File) ([]byte, error) {
	const entry = 8
	list := make([]byte, (f.Size+chunk-1)/chunk*entry)
	for i := 0; i < len(list); i += entry {
		le.PutUint32(list[i+4:], noBlock)
	}
	err := w.c.Data(ctx, f, w.buf, func(off int64, data []byte) error {
		data = content.Whole(data, blockSize)
		first, err := w.take(int64(len(data)) / blockSize)
		if err != nil {
			return err
		}
		for i := range (int64(len(data)) + chunk - 1) / chunk {
			le.PutUint32(list[(off/chunk+i)*entry+4:], uint32(first+i*chunk/blockSize))
		}
		return w.writeBlocks(first, data)
	})
	return list, err
}

package blocks

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// Table says which blocks of a disk hold data, and reads them. It is called by
// one goroutine at a time.
type Table interface {
	// Find tells whether a block holds data, and for how many blocks from it on
	// the same is known at once: at least one.
	Find(index int64) (data bool, run int64, err error)
	// Read fills p from a place within a block that holds data.
	Read(p []byte, index, in int64) error
}

// Disk is a disk that a table describes; see sparse.Source. It is safe for
// several goroutines.
type Disk struct {
	size, block int64
	table       Table
	mu          sync.Mutex
}

// New returns a disk of size bytes in blocks of block bytes.
func New(size, block int64, table Table) *Disk { return &Disk{size: size, block: block, table: table} }

// Size is the size of the disk in bytes.
func (d *Disk) Size() int64 { return d.size }

// BlockSize is the unit of allocation in bytes.
func (d *Disk) BlockSize() int64 { return d.block }

// ReadAt reads from the disk.
func (d *Disk) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for n < len(p) {
		if off >= d.size {
			return n, io.EOF
		}
		index, in := off/d.block, off%d.block
		k := int(min(int64(len(p)-n), d.block-in, d.size-off))
		if err := d.read(p[n:n+k], index, in); err != nil {
			return n, fmt.Errorf("block %d of the disk: %w", index, err)
		}
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

func (d *Disk) read(p []byte, index, in int64) error {
	data, _, err := d.table.Find(index)
	if err != nil {
		return err
	}
	if !data {
		clear(p)
		return nil
	}
	return d.table.Read(p, index, in)
}

// Next finds blocks that hold data; see sparse.Source.
func (d *Disk) Next(off int64) (start, end int64, err error) {
	if off < 0 {
		return 0, 0, errors.New("negative offset")
	}
	if off >= d.size {
		return 0, 0, io.EOF
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	last := (d.size-1)/d.block + 1
	first, err := d.skip(off/d.block, last, false)
	if err != nil {
		return 0, 0, err
	}
	if first >= last {
		return 0, 0, io.EOF
	}
	behind, err := d.skip(first, last, true)
	if err != nil {
		return 0, 0, err
	}
	return max(off, first*d.block), min(behind*d.block, d.size), nil
}

// skip returns the first block from index on that is not of the given kind. A
// run of data ends after a while, so that one call does not read a whole table.
func (d *Disk) skip(index, last int64, data bool) (int64, error) {
	const most = 1 << 12
	for n := 0; index < last && (!data || n < most); n++ {
		is, run, err := d.table.Find(index)
		if err != nil {
			return 0, fmt.Errorf("block %d of the disk: %w", index, err)
		}
		if is != data {
			break
		}
		index += max(1, run)
	}
	return min(index, last), nil
}

// ReadFull fills b from an offset that a file has given.
func ReadFull(r io.ReaderAt, b []byte, at uint64) error {
	if at > 1<<62 {
		return fmt.Errorf("offset %d: %w", at, io.ErrUnexpectedEOF)
	}
	n, err := r.ReadAt(b, int64(at))
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("offset %d: %w", at, err)
}

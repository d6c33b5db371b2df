package sparse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"os"
	"slices"
)

// errTwice says that a part of a disk was written that had been handed on
// already.
var errTwice = errors.New("a part of the disk is written twice")

// sector is the unit in which a Collector knows what has been written.
const sector = 512

// Collector is a disk that exists in memory only, block by block: each is
// transformed and emitted as soon as all of it has been written, and the others
// at the end. So a disk of any size is made and compressed at once, without a
// raw file in between. It is for writers that write every byte once, and every
// sector of a block once they begin it, such as those of file systems here.
//
// Blocks are emitted in the order in which they became complete, which depends
// on what is written alone. One goroutine writes.
type Collector struct {
	ctx     context.Context
	size    int64
	block   int64
	scratch string

	open  map[int64]*part
	order []int64 // open blocks, those that were begun first in front
	spare [][]byte
	done  map[int64]bool // emitted
	spill *os.File

	p      *pipeline
	cancel context.CancelCauseFunc // with what went wrong with a block
	ended  chan error
}

// part is a block that is not complete.
type part struct {
	data    []byte // nil while it is in the spill file
	written []uint64
	left    int // sectors that are missing
}

// maxOpen is the number of bytes of blocks that are kept in memory although they
// are not complete; the others go to a scratch file.
const maxOpen = 64 << 20

// Collect starts a disk of size bytes. scratch is a directory for a file that is
// made if too many blocks are begun and not complete. Close or Stop must be
// called.
func Collect(ctx context.Context, size int64, w Work, scratch string, emit Emit) (*Collector, error) {
	p, err := newPipeline(w, nil)
	if err != nil {
		return nil, err
	}
	c := &Collector{size: size, block: int64(w.Block), scratch: scratch, open: map[int64]*part{}, done: map[int64]bool{}, p: p, ended: make(chan error, 1)}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	go func() { c.ended <- p.emit(emit, c.cancel) }()
	return c, nil
}

// WriteAt writes a part of the disk. It is an error if a block that it belongs
// to was complete.
func (c *Collector) WriteAt(data []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(data)) > c.size {
		return 0, fmt.Errorf("%d bytes at %d are outside of the disk", len(data), at)
	}
	n := len(data)
	for len(data) > 0 {
		index, start := at/c.block, at%c.block
		some := data[:min(int64(len(data)), c.block-start)]
		if err := c.write(index, start, some); err != nil {
			return n - len(data), err
		}
		data = data[len(some):]
		at += int64(len(some))
	}
	return n, nil
}

// write writes within one block.
func (c *Collector) write(index, start int64, data []byte) error {
	p := c.open[index]
	if p == nil {
		if c.done[index] {
			return fmt.Errorf("%w: byte %d", errTwice, index*c.block+start)
		}
		if err := c.spillOne(); err != nil {
			return err
		}
		p = &part{data: c.memory(), left: int((min(c.block, c.size-index*c.block) + sector - 1) / sector)}
		p.written = make([]uint64, (c.block/sector+63)/64)
		c.open[index] = p
		c.order = append(c.order, index)
	}
	if p.data != nil {
		copy(p.data[start:], data)
	} else if _, err := c.spill.WriteAt(data, index*c.block+start); err != nil {
		return err
	}
	p.mark(start, start+int64(len(data)))
	if p.left > 0 {
		return nil
	}
	return c.hand(index, p)
}

// mark notes the sectors that a write touches.
func (p *part) mark(start, end int64) {
	for s := start / sector; s*sector < end; {
		word, bit := s/64, s%64
		n := min(64-bit, (end+sector-1)/sector-s)
		mask := ^uint64(0) >> (64 - n) << bit
		p.left -= bits.OnesCount64(mask &^ p.written[word])
		p.written[word] |= mask
		s += n
	}
}

// memory returns a block of zeros.
func (c *Collector) memory() []byte {
	if last := len(c.spare) - 1; last >= 0 {
		b := c.spare[last]
		c.spare = c.spare[:last]
		clear(b)
		return b
	}
	return make([]byte, c.block)
}

// spillOne makes room for one more block.
func (c *Collector) spillOne() error {
	if int64(len(c.order)+1)*c.block <= max(maxOpen, c.block) {
		return nil
	}
	if c.spill == nil {
		f, err := os.CreateTemp(c.scratch, "blocks")
		if err != nil {
			return err
		}
		c.spill = f
		// Nothing of it is left, whatever happens.
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
	}
	index := c.order[0]
	c.order = c.order[1:]
	p := c.open[index]
	if _, err := c.spill.WriteAt(p.data, index*c.block); err != nil {
		return err
	}
	c.spare = append(c.spare, p.data)
	p.data = nil
	return nil
}

// hand gives a block to the workers.
func (c *Collector) hand(index int64, p *part) error {
	j, err := c.p.get(c.ctx)
	if err != nil {
		return err
	}
	if p.data == nil {
		n, err := c.spill.ReadAt(j.raw, index*c.block)
		// What the file does not reach was not written.
		clear(j.raw[n:])
		if err != nil && n == 0 {
			c.p.free <- j
			return err
		}
	} else {
		j.raw, p.data = p.data, j.raw
		c.spare = append(c.spare, p.data)
		if i := slices.Index(c.order, index); i >= 0 {
			c.order = slices.Delete(c.order, i, i+1)
		}
	}
	delete(c.open, index)
	c.done[index] = true
	c.p.put(j, index)
	return nil
}

// Close hands on what is left, in the order of the disk, and waits for the end.
func (c *Collector) Close() error {
	for _, index := range slices.Sorted(maps.Keys(c.open)) {
		if err := c.hand(index, c.open[index]); err != nil {
			c.Stop()
			return err
		}
	}
	return c.end()
}

// Stop ends the work on a disk that is not wanted any more.
func (c *Collector) Stop() {
	c.cancel(nil)
	_ = c.end()
}

func (c *Collector) end() error {
	if c.p == nil {
		return nil
	}
	c.p.end()
	err := <-c.ended
	c.p = nil
	c.cancel(nil)
	if c.spill != nil {
		err = errors.Join(err, c.spill.Close())
	}
	return err
}

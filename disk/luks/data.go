package luks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/disk/used"
)

// block is the unit in which free space is left out.
const block = 4096

// piece is how much is encrypted at a time.
const piece = 1 << 20

// sector is the number by which the data's sectors are known: that of 512
// bytes, whatever their size is.
func (v *Volume) sector(at int64) uint64 { return uint64(at / 512) }

// Encrypt encrypts in place the size bytes of f from offset on, which are the
// data of the volume; its header lies elsewhere. What is in use is encrypted
// whether it is zero or not; of the rest, blocks of 4096 bytes that are zero
// stay so, and read as noise once the volume is open. Ranges are counted from
// offset. The result does not depend on where f has holes.
func (v *Volume) Encrypt(ctx context.Context, f *os.File, offset, size int64, inUse []used.Range) error {
	if size%int64(v.sectorSize) != 0 {
		return errors.New("the data is no whole number of sectors")
	}
	x, err := newXTS(v.key)
	if err != nil {
		return err
	}
	inUse = used.Merge(roundOut(inUse, size), size)
	list := inUse
	data := sparse.Section(sparse.File{File: f}, offset, size)
	for at := int64(0); ; {
		start, end, err := data.Next(at)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		list = append(list[:len(list):len(list)], used.Range{Start: start, End: end})
		at = end
	}
	e := &encryption{volume: v, cipher: x, f: f, offset: offset, inUse: inUse}
	return e.run(ctx, used.Merge(roundOut(list, size), size))
}

// roundOut makes ranges whole blocks.
func roundOut(list []used.Range, size int64) []used.Range {
	out := make([]used.Range, len(list))
	for i, r := range list {
		out[i] = used.Range{Start: r.Start / block * block, End: min(size, (r.End+block-1)/block*block)}
	}
	return out
}

// encryption is the work on a volume.
type encryption struct {
	volume *Volume
	cipher *xts
	f      *os.File
	offset int64
	inUse  []used.Range
}

// run encrypts ranges on all processors.
func (e *encryption) run(ctx context.Context, list []used.Range) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan used.Range)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			buf, t := make([]byte, piece), new(tweaks)
			for r := range todo {
				if err := e.piece(buf[:r.End-r.Start], r.Start, t); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, r := range list {
		for at := r.Start; at < r.End && ctx.Err() == nil; at += piece {
			select {
			case todo <- used.Range{Start: at, End: min(r.End, at+piece)}:
			case <-ctx.Done():
			}
		}
	}
	close(todo)
	wg.Wait()
	return context.Cause(ctx)
}

// piece encrypts what lies at a place.
func (e *encryption) piece(b []byte, at int64, t *tweaks) error {
	if n, err := e.f.ReadAt(b, e.offset+at); n < len(b) {
		return err
	}
	var zero [block]byte
	next := 0 // the first range in use that ends behind the block
	for next < len(e.inUse) && e.inUse[next].End <= at {
		next++
	}
	from := 0 // what was not written yet
	write := func(to int) error {
		if from == to {
			return nil
		}
		_, err := e.f.WriteAt(b[from:to], e.offset+at+int64(from))
		return err
	}
	for i := 0; i < len(b); i += block {
		p := b[i:min(i+block, len(b))]
		place := at + int64(i)
		for next < len(e.inUse) && e.inUse[next].End <= place {
			next++
		}
		free := next == len(e.inUse) || e.inUse[next].Start > place
		if free && bytes.Equal(p, zero[:len(p)]) {
			if err := write(i); err != nil {
				return err
			}
			from = i + len(p)
			continue
		}
		for s := 0; s < len(p); s += e.volume.sectorSize {
			sector := p[s : s+e.volume.sectorSize]
			e.cipher.encrypt(sector, e.volume.sector(place+int64(s)), t)
		}
	}
	return write(len(b))
}

// Reader returns the decrypted data of a volume; r starts at its header.
func (v *Volume) Reader(r io.ReaderAt) (io.ReaderAt, error) {
	x, err := newXTS(v.key)
	if err != nil {
		return nil, err
	}
	return &reader{v, x, r}, nil
}

type reader struct {
	*Volume
	cipher *xts
	r      io.ReaderAt
}

// ReadAt decrypts.
func (r *reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	size := int64(r.sectorSize)
	b, t := make([]byte, size), new(tweaks)
	for n < len(p) {
		at := (off + int64(n)) / size * size
		if _, err := r.r.ReadAt(b, r.Offset+at); err != nil {
			return n, err
		}
		r.cipher.decrypt(b, r.sector(at), t)
		n += copy(p[n:], b[off+int64(n)-at:])
	}
	return n, nil
}

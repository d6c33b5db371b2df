package luks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
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

// Encrypt encrypts the size bytes of src, which are the data of the volume, into
// dst; its header lies elsewhere. What is in use is encrypted whether it is zero
// or not; of the rest, blocks of 4096 bytes that are zero are left out: dst must
// read as zeros there, which are noise once the volume is open. Dst may be what
// src reads from. The result does not depend on where src has holes. Each byte
// is written once, in the order of the disk.
func (v *Volume) Encrypt(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64, inUse []used.Range) error {
	if size%int64(v.sectorSize) != 0 {
		return errors.New("the data is no whole number of sectors")
	}
	x, err := newXTS(v.key)
	if err != nil {
		return err
	}
	inUse = used.Merge(roundOut(inUse, size), size)
	list := inUse
	for at := int64(0); at < size; {
		start, end, err := src.Next(at)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		list = append(list[:len(list):len(list)], used.Range{Start: start, End: end})
		at = end
	}
	e := &encryption{volume: v, cipher: x, src: src, inUse: inUse}
	return e.run(ctx, dst, used.Merge(roundOut(list, size), size))
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
	src    io.ReaderAt
	inUse  []used.Range
}

// part is a part of a volume on its way.
type part struct {
	at   int64
	data []byte // its length is that of the part
	runs [][2]int
	err  error
	done chan struct{}
}

// run encrypts ranges on all processors and writes them in order.
func (e *encryption) run(ctx context.Context, dst io.WriterAt, list []used.Range) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := runtime.GOMAXPROCS(0)
	free, todo, ordered := make(chan *part, 2*workers), make(chan *part, 2*workers), make(chan *part, 2*workers)
	for range 2 * workers {
		free <- &part{data: make([]byte, piece)}
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var t tweaks
			for p := range todo {
				p.err = e.encrypt(p, &t)
				close(p.done)
			}
		})
	}
	wg.Go(func() {
		defer close(ordered)
		defer close(todo)
		for _, r := range list {
			for at := r.Start; at < r.End; at += piece {
				var p *part
				select {
				case p = <-free:
				case <-ctx.Done():
					return
				}
				if ctx.Err() != nil {
					return // a select takes either where both are ready
				}
				p.at, p.data, p.runs, p.done = at, p.data[:min(piece, r.End-at)], p.runs[:0], make(chan struct{})
				todo <- p
				ordered <- p
			}
		}
	})
	for p := range ordered {
		<-p.done
		if err := p.write(dst); err != nil {
			cancel(err)
		}
		p.data = p.data[:piece]
		free <- p
	}
	wg.Wait()
	return context.Cause(ctx)
}

// write writes the runs of a part.
func (p *part) write(dst io.WriterAt) error {
	if p.err != nil {
		return p.err
	}
	for _, r := range p.runs {
		if _, err := dst.WriteAt(p.data[r[0]:r[1]], p.at+int64(r[0])); err != nil {
			return err
		}
	}
	return nil
}

// encrypt reads a part and encrypts what is in use of it, or not zero.
func (e *encryption) encrypt(p *part, t *tweaks) error {
	b := p.data
	n, err := e.src.ReadAt(b, p.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	clear(b[n:])
	var zero [block]byte
	next, _ := slices.BinarySearchFunc(e.inUse, p.at, func(r used.Range, at int64) int {
		if r.End <= at {
			return -1
		}
		return 1
	})
	for i := 0; i < len(b); i += block {
		s := b[i:min(i+block, len(b))]
		place := p.at + int64(i)
		for next < len(e.inUse) && e.inUse[next].End <= place {
			next++
		}
		if (next == len(e.inUse) || e.inUse[next].Start > place) && bytes.Equal(s, zero[:len(s)]) {
			continue
		}
		for j := 0; j < len(s); j += e.volume.sectorSize {
			e.cipher.encrypt(s[j:j+e.volume.sectorSize], e.volume.sector(place+int64(j)), t)
		}
		if last := len(p.runs) - 1; last >= 0 && p.runs[last][1] == i {
			p.runs[last][1] = i + len(s)
		} else {
			p.runs = append(p.runs, [2]int{i, i + len(s)})
		}
	}
	return nil
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

package sparse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// Transform turns a block into the form that it is stored in, such as a
// compressed one. What it returns depends on the block alone and is valid until
// its next call; nil means that the block is to be stored as it is.
type Transform func(block []byte) ([]byte, error)

// Work says how the blocks of a disk are read.
type Work struct {
	// Block is the size of a block in bytes.
	Block int
	// New returns a Transform for one goroutine. It may be nil.
	New func() (Transform, error)
	// Workers is the number of goroutines that read and transform; 0 means one
	// per processor. It does not change the result.
	Workers int
	// Ahead has the results of blocks that were transformed already. It may be
	// nil.
	Ahead *Ahead
}

// Emit takes a block: its number on the disk, its content, and what Transform
// made of it. It must not keep either slice.
type Emit func(index int64, raw, out []byte) error

// Blocks calls emit for each block of the first size bytes of src that holds
// something else than zeros, in the order of the disk. Blocks are read and
// transformed in parallel; memory stays bounded by a few of them per worker. The
// last block is filled up with zeros, as is where src ends before size.
func Blocks(ctx context.Context, src Source, size int64, w Work, emit Emit) error {
	if w.Workers <= 0 {
		w.Workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := newPipeline(ctx, src, size, w)
	if err != nil {
		return err
	}
	defer p.stop(cancel)
	for job := range p.ordered {
		<-job.done
		err := job.err
		if err == nil && !job.zero {
			err = emit(job.index, job.raw, job.out)
		}
		p.free <- job
		if err != nil {
			return err
		}
	}
	return p.scanErr
}

// job is one block on its way from the source to the consumer.
type job struct {
	index int64
	raw   []byte // the block
	out   []byte // transformed, nil to take it as it is
	keep  []byte // memory of out
	zero  bool
	err   error
	done  chan struct{}
}

// pipeline reads and transforms blocks on several goroutines and hands them
// out in order. The number of jobs, and so the memory, is fixed.
type pipeline struct {
	ordered chan *job // in the order of the disk
	free    chan *job
	todo    chan *job
	wg      sync.WaitGroup
	scanErr error // valid once ordered is closed
}

func newPipeline(ctx context.Context, src Source, size int64, w Work) (*pipeline, error) {
	n := 2*w.Workers + 1
	p := &pipeline{
		ordered: make(chan *job, n),
		free:    make(chan *job, n),
		todo:    make(chan *job, n),
	}
	for range n {
		p.free <- &job{raw: make([]byte, w.Block)}
	}
	zero := make([]byte, w.Block)
	transforms := make([]Transform, w.Workers)
	for i := range transforms {
		if w.New == nil {
			continue
		}
		var err error
		if transforms[i], err = w.New(); err != nil {
			return nil, err
		}
	}
	for _, t := range transforms {
		p.wg.Go(func() {
			for j := range p.todo {
				j.err = j.run(src, size, zero, t, w.Ahead)
				close(j.done)
			}
		})
	}
	p.wg.Go(func() {
		p.scanErr = p.scan(ctx, src, size, int64(w.Block))
		close(p.todo)
		close(p.ordered)
	})
	return p, nil
}

// scan makes a job of each block that the source has data in.
func (p *pipeline) scan(ctx context.Context, src Source, size, block int64) error {
	next := int64(0) // first block that has no job
	for off := int64(0); off < size; {
		start, end, err := src.Next(off)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errSource(err)
		}
		if start < off || end <= start {
			return errSource(errors.New("the source gives ranges out of order"))
		}
		for i := max(next, start/block); i*block < min(end, size); i++ {
			// A select takes either where both are ready.
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			var j *job
			select {
			case j = <-p.free:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			j.index, j.out, j.zero, j.err, j.done = i, nil, false, nil, make(chan struct{})
			p.todo <- j
			p.ordered <- j
			next = i + 1
		}
		off = end
	}
	return nil
}

// run reads and transforms one block.
func (j *job) run(src Source, size int64, zero []byte, t Transform, ahead *Ahead) error {
	at := j.index * int64(len(j.raw))
	want := min(int64(len(j.raw)), size-at)
	n, err := src.ReadAt(j.raw[:want], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return errSource(err)
	}
	clear(j.raw[n:])
	if bytes.Equal(j.raw, zero) {
		j.zero = true
		return nil
	}
	if t == nil {
		return nil
	}
	if out, ok := ahead.take(j.index, j.raw); ok {
		j.out = out
		return nil
	}
	out, err := t(j.raw)
	if err != nil || out == nil {
		return err
	}
	// The transformer reuses its memory for the next block.
	j.keep = append(j.keep[:0], out...)
	j.out = j.keep
	return nil
}

// stop ends the goroutines and waits for them.
func (p *pipeline) stop(cancel context.CancelFunc) {
	cancel()
	for range p.ordered {
		// Whatever is still on its way is dropped.
	}
	p.wg.Wait()
}

// errSource wraps what the source says, so that it is not taken for a problem
// of the image.
func errSource(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("reading the disk: %w", err)
}

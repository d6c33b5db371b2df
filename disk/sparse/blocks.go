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
}

// Emit takes a block: its number on the disk, its content, and what Transform
// made of it. It must not keep either slice.
type Emit func(index int64, raw, out []byte) error

// Blocks calls emit for each block of the first size bytes of src that holds
// something else than zeros, in the order of the disk. Blocks are read and
// transformed in parallel; memory stays bounded by a few of them per worker. The
// last block is filled up with zeros, as is where src ends before size.
func Blocks(ctx context.Context, src Source, size int64, w Work, emit Emit) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p, err := newPipeline(w, func(j *job) error { return j.read(src, size) })
	if err != nil {
		return err
	}
	var scanErr error
	go func() {
		scanErr = p.scan(ctx, src, size)
		p.end()
	}()
	if err := p.emit(emit, cancel); err != nil {
		return err
	}
	return scanErr
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

// pipeline transforms blocks on several goroutines and hands them out in the
// order in which they were put in. The number of jobs, and so the memory, is
// fixed.
type pipeline struct {
	block   int64
	ordered chan *job
	free    chan *job
	todo    chan *job
	wg      sync.WaitGroup
}

// newPipeline starts the workers. fill puts the content into a job where it is
// not there yet; it may be nil.
func newPipeline(w Work, fill func(j *job) error) (*pipeline, error) {
	if w.Workers <= 0 {
		w.Workers = runtime.GOMAXPROCS(0)
	}
	n := 2*w.Workers + 1
	p := &pipeline{
		block:   int64(w.Block),
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
				if fill != nil {
					j.err = fill(j)
				}
				if j.err == nil {
					j.err = j.run(zero, t)
				}
				close(j.done)
			}
		})
	}
	return p, nil
}

// get waits for a job that is free.
func (p *pipeline) get(ctx context.Context) (*job, error) {
	// A select takes either where both are ready.
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case j := <-p.free:
		return j, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// put hands a job to the workers.
func (p *pipeline) put(j *job, index int64) {
	j.index, j.out, j.zero, j.err, j.done = index, nil, false, nil, make(chan struct{})
	p.todo <- j
	p.ordered <- j
}

// end says that no more jobs come.
func (p *pipeline) end() {
	close(p.todo)
	close(p.ordered)
}

// emit calls the consumer for each job in order, until the end. After an error
// it calls failed, and drops what is still on its way.
func (p *pipeline) emit(emit Emit, failed func(error)) error {
	var err error
	for j := range p.ordered {
		<-j.done
		if err == nil {
			if err = j.err; err == nil && !j.zero {
				err = emit(j.index, j.raw, j.out)
			}
			if err != nil {
				failed(err)
			}
		}
		p.free <- j
	}
	p.wg.Wait()
	return err
}

// scan makes a job of each block that the source has data in.
func (p *pipeline) scan(ctx context.Context, src Source, size int64) error {
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
		for i := max(next, start/p.block); i*p.block < min(end, size); i++ {
			j, err := p.get(ctx)
			if err != nil {
				return err
			}
			p.put(j, i)
			next = i + 1
		}
		off = end
	}
	return nil
}

// read reads the block of a job.
func (j *job) read(src Source, size int64) error {
	at := j.index * int64(len(j.raw))
	want := min(int64(len(j.raw)), size-at)
	n, err := src.ReadAt(j.raw[:want], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return errSource(err)
	}
	clear(j.raw[n:])
	return nil
}

// run transforms a block.
func (j *job) run(zero []byte, t Transform) error {
	if bytes.Equal(j.raw, zero) {
		j.zero = true
		return nil
	}
	if t == nil {
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

// errSource wraps what the source says, so that it is not taken for a problem
// of the image.
func errSource(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("reading the disk: %w", err)
}

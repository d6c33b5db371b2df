package qcow2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// job is one cluster on its way from the source to the file.
type job struct {
	index int64
	raw   []byte // the cluster
	out   []byte // compressed, nil to store raw
	keep  []byte // memory of out
	zero  bool
	err   error
	done  chan struct{}
}

// pipeline reads and compresses clusters on several goroutines and hands them
// out in order. The number of jobs, and so the memory, is fixed.
type pipeline struct {
	ordered chan *job // in the order of the disk
	free    chan *job
	todo    chan *job
	wg      sync.WaitGroup
	scanErr error // valid once ordered is closed
}

func newPipeline(ctx context.Context, src sparse.Source, size int64, o Options) (*pipeline, error) {
	n := 2*o.Workers + 1
	p := &pipeline{
		ordered: make(chan *job, n),
		free:    make(chan *job, n),
		todo:    make(chan *job, n),
	}
	for range n {
		p.free <- &job{raw: make([]byte, o.ClusterSize)}
	}
	zero := make([]byte, o.ClusterSize)
	compressors := make([]compressor, o.Workers)
	for i := range compressors {
		var err error
		if compressors[i], err = newCompressor(o.Compression, o.ClusterSize); err != nil {
			return nil, err
		}
	}
	for _, c := range compressors {
		p.wg.Go(func() {
			for j := range p.todo {
				j.err = j.run(src, size, zero, c)
				close(j.done)
			}
		})
	}
	p.wg.Go(func() {
		p.scanErr = p.scan(ctx, src, size, int64(o.ClusterSize))
		close(p.todo)
		close(p.ordered)
	})
	return p, nil
}

// scan makes a job of each cluster that the source has data in.
func (p *pipeline) scan(ctx context.Context, src sparse.Source, size, cluster int64) error {
	next := int64(0) // first cluster that has no job
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
		for i := max(next, start/cluster); i*cluster < min(end, size); i++ {
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

// run reads and compresses one cluster.
func (j *job) run(src sparse.Source, size int64, zero []byte, c compressor) error {
	cluster := int64(len(j.raw))
	at := j.index * cluster
	want := min(cluster, size-at)
	n, err := src.ReadAt(j.raw[:want], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return errSource(err)
	}
	clear(j.raw[n:])
	if bytes.Equal(j.raw, zero) {
		j.zero = true
		return nil
	}
	if c == nil {
		return nil
	}
	out, err := c.compress(j.raw)
	if err != nil || out == nil {
		return err
	}
	// The compressor reuses its memory for the next cluster.
	j.keep = append(j.keep[:0], out...)
	j.out = j.keep
	return nil
}

// err returns what went wrong while looking for data.
func (p *pipeline) err() error { return p.scanErr }

// stop ends the goroutines and waits for them.
func (p *pipeline) stop(cancel context.CancelFunc) {
	cancel()
	for range p.ordered {
		// Whatever is still on its way is dropped.
	}
	p.wg.Wait()
}

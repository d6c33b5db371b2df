package sparse

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"os"
	"runtime"
	"sync"
	"time"
)

// Ahead transforms blocks of a file while another program still writes it: what
// makes a file system uses one processor, and the others would wait. Blocks
// takes a result only if the block is then still the same, so that Ahead changes
// how long something takes and never what comes out.
type Ahead struct {
	name   string
	work   Work
	limit  int64
	seed   maphash.Seed
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	blocks map[int64]early
	kept   int64 // bytes
}

// early is a block that was transformed.
type early struct {
	sum uint64
	out []byte // nil if it is to be stored as it is
}

// aheadPause is how often the file is looked at. A block that was there already
// the time before is taken to be complete.
const aheadPause = 100 * time.Millisecond

// StartAhead starts to transform the blocks of the file name, which need not be
// there yet, and keeps up to limit bytes of results. Stop must be called before
// the work is given to Blocks. One processor is left to the writer.
func StartAhead(ctx context.Context, name string, w Work, limit int64) *Ahead {
	ctx, cancel := context.WithCancel(ctx)
	a := &Ahead{name: name, work: w, limit: limit, seed: maphash.MakeSeed(), cancel: cancel, blocks: map[int64]early{}}
	workers := w.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0) - 1
	}
	if workers < 1 || w.New == nil {
		return a
	}
	todo := make(chan int64)
	for range workers {
		a.wg.Go(func() { a.transform(todo) })
	}
	a.wg.Go(func() {
		defer close(todo)
		a.watch(ctx, todo)
	})
	return a
}

// Stop ends the work on what is not complete.
func (a *Ahead) Stop() {
	a.cancel()
	a.wg.Wait()
}

// watch finds blocks that are complete. What goes wrong is left to Blocks.
func (a *Ahead) watch(ctx context.Context, todo chan<- int64) {
	tick := time.NewTicker(aheadPause)
	defer tick.Stop()
	var f *os.File
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	seen, sent := map[int64]bool{}, map[int64]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if f == nil {
			var err error
			if f, err = os.Open(a.name); err != nil {
				f = nil
				continue
			}
		}
		now, err := wholeBlocks(File{f}, int64(a.work.Block))
		if err != nil {
			return
		}
		for _, i := range now {
			if !seen[i] {
				seen[i] = true
				continue
			}
			if sent[i] {
				continue
			}
			if a.full() {
				return
			}
			select {
			case todo <- i:
				sent[i] = true
			case <-ctx.Done():
				return
			}
		}
	}
}

// wholeBlocks lists the blocks that have no hole, in order.
func wholeBlocks(src Source, block int64) ([]int64, error) {
	var out []int64
	for off := int64(0); ; {
		start, end, err := src.Next(off)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		for i := (start + block - 1) / block; (i+1)*block <= end; i++ {
			out = append(out, i)
		}
		off = end
	}
}

func (a *Ahead) full() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept >= a.limit
}

// transform is one worker.
func (a *Ahead) transform(todo <-chan int64) {
	t, err := a.work.New()
	if err != nil {
		t = nil
	}
	raw := make([]byte, a.work.Block)
	var f *os.File
	for i := range todo {
		if t == nil {
			continue
		}
		if f == nil {
			if f, err = os.Open(a.name); err != nil {
				t = nil
				continue
			}
			defer f.Close()
		}
		if _, err := f.ReadAt(raw, i*int64(len(raw))); err != nil {
			continue
		}
		out, err := t(raw)
		if err != nil {
			continue
		}
		e := early{sum: maphash.Bytes(a.seed, raw)}
		if out != nil {
			e.out = append([]byte(nil), out...)
		}
		a.mu.Lock()
		a.blocks[i] = e
		a.kept += int64(len(e.out))
		a.mu.Unlock()
	}
}

// take returns what was made of a block, if it is still the same, and forgets
// it.
func (a *Ahead) take(index int64, raw []byte) (out []byte, ok bool) {
	if a == nil {
		return nil, false
	}
	a.mu.Lock()
	e, ok := a.blocks[index]
	delete(a.blocks, index)
	a.mu.Unlock()
	if !ok || e.sum != maphash.Bytes(a.seed, raw) {
		return nil, false
	}
	return e.out, true
}

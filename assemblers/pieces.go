package assemblers

import (
	"errors"
	"io"
	"runtime"
	"sync"
)

// encodePiece compresses one piece of a stream. Before holds the piece that
// comes before it, nil for the first. It is called for several pieces at a
// time, and what it returns may depend on nothing but its arguments.
type encodePiece func(piece, before []byte, last bool) ([]byte, error)

// pieces compresses a stream in pieces of a fixed size, several at a time, and
// writes the results in order. So the output is the same on a machine with any
// number of processors, and there are never more pieces in memory than are
// compressed at a time, and one more at either end.
type pieces struct {
	size   int
	encode encodePiece
	buf    []byte
	before []byte
	empty  []byte // a piece of zeros, once there was one
	queue  chan chan encoded
	done   chan struct{}

	mu  sync.Mutex
	err error
}

type encoded struct {
	data []byte
	err  error
}

// newPieces starts a stream. At most most pieces are compressed at a time.
func newPieces(w io.Writer, size, most int, encode encodePiece) *pieces {
	workers := max(1, min(runtime.GOMAXPROCS(0), most))
	p := &pieces{size: size, encode: encode, queue: make(chan chan encoded, workers-1), done: make(chan struct{})}
	go p.collect(w, p.queue)
	return p
}

// collect writes what the pieces have become. After an error it only waits for
// the rest.
func (p *pieces) collect(w io.Writer, queue <-chan chan encoded) {
	defer close(p.done)
	for c := range queue {
		e := <-c
		if p.failed() != nil {
			continue
		}
		if e.err == nil {
			_, e.err = w.Write(e.data)
		}
		if e.err != nil {
			p.mu.Lock()
			p.err = e.err
			p.mu.Unlock()
		}
	}
}

func (p *pieces) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Write takes more of the stream.
func (p *pieces) Write(data []byte) (int, error) {
	n := len(data)
	for len(data) > 0 {
		if len(p.buf) == p.size {
			p.submit(false)
		}
		if err := p.failed(); err != nil {
			return 0, err
		}
		if p.buf == nil {
			p.buf = make([]byte, 0, p.size)
		}
		k := min(len(data), p.size-len(p.buf))
		p.buf, data = append(p.buf, data[:k]...), data[k:]
	}
	return n, nil
}

// zeros takes n zeros, as Write does, and compresses a piece that is nothing
// else only once. It needs an encodePiece that does not look at the piece
// before.
func (p *pieces) zeros(n int64) error {
	if p.empty == nil {
		p.empty = make([]byte, p.size)
		encode := p.encode
		once := sync.OnceValues(func() ([]byte, error) { return encode(p.empty, nil, false) })
		p.encode = func(piece, before []byte, last bool) ([]byte, error) {
			if len(piece) > 0 && &piece[0] == &p.empty[0] {
				return once()
			}
			return encode(piece, before, last)
		}
	}
	for n > 0 {
		if len(p.buf) == p.size {
			p.submit(false)
		}
		if err := p.failed(); err != nil {
			return err
		}
		if p.buf == nil && n >= int64(p.size) {
			p.buf = p.empty
			n -= int64(p.size)
			continue
		}
		k := min(n, int64(p.size-len(p.buf)))
		if _, err := p.Write(p.empty[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// submit hands on the piece that is complete.
func (p *pieces) submit(last bool) {
	piece, before := p.buf, p.before
	p.buf, p.before = nil, piece
	c := make(chan encoded, 1)
	encode := p.encode
	// This waits while as many are at work as may be.
	p.queue <- c
	go func() {
		data, err := encode(piece, before, last)
		c <- encoded{data, err}
	}()
}

// Close compresses the last piece, which may be short, and waits for all.
func (p *pieces) Close() error {
	if p.queue != nil {
		p.submit(true)
	}
	return p.stop()
}

// stop ends the stream as it is.
func (p *pieces) stop() error {
	if p.queue == nil {
		return errors.New("the stream is closed already")
	}
	close(p.queue)
	p.queue = nil
	<-p.done
	return p.failed()
}

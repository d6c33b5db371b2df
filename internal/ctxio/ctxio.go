// Package ctxio ends reading with a context.
package ctxio

import (
	"context"
	"io"
)

// Reader returns a reader of r that fails with the context's cause once that is
// done: a file may be of any size, and whoever copies one must not outlive what
// asked for it.
func Reader(ctx context.Context, r io.Reader) io.Reader { return reader{ctx, r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

// Read reads, or says why it is not to go on.
func (c reader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

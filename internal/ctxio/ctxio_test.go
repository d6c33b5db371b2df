package ctxio

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReader(t *testing.T) {
	t.Parallel()
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	r := Reader(ctx, strings.NewReader("ab"))
	b := make([]byte, 1)
	if n, err := r.Read(b); n != 1 || err != nil || b[0] != 'a' {
		t.Errorf("%d %q, %v", n, b, err)
	}
	cancel(why)
	if n, err := io.ReadFull(r, b); n != 0 || !errors.Is(err, why) {
		t.Errorf("%d bytes, %v after the end", n, err)
	}
}

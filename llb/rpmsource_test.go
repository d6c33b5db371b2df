package llb

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestWithin(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var late *timeoutError
	for name, c := range map[string]struct {
		ctx   context.Context
		limit time.Duration
		do    func(context.Context) error
		late  bool
		err   bool
	}{
		"done":                  {t.Context(), time.Hour, func(context.Context) error { return nil }, false, false},
		"no limit":              {t.Context(), 0, func(context.Context) error { return other }, false, true},
		"another error":         {t.Context(), time.Hour, func(context.Context) error { return other }, false, true},
		"late":                  {t.Context(), time.Nanosecond, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, true, true},
		"late by the builder":   {t.Context(), time.Hour, func(context.Context) error { return status.Error(codes.DeadlineExceeded, "late") }, true, true},
		"the build has stopped": {ended, time.Hour, func(ctx context.Context) error { return ctx.Err() }, false, true},
	} {
		err := within(c.ctx, c.limit, c.do)
		if (err != nil) != c.err || errors.As(err, &late) != c.late {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is why a context ended: the process was sent a signal.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "aborted (" + i.signal.String() + ")" }

// withSignals returns a context that the first SIGINT or SIGTERM cancels. The
// next one ends the process at once.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case s := <-c:
			signal.Stop(c)
			number, _ := s.(syscall.Signal)
			cancel(interrupted{number})
		case <-ctx.Done():
			signal.Stop(c)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// abortCode is the exit code of a command whose context was cancelled: as shells
// have it, 128 and the number of the signal.
func abortCode(ctx context.Context) int {
	var i interrupted
	if errors.As(context.Cause(ctx), &i) {
		return 128 + int(i.signal)
	}
	return exitInterrupted
}

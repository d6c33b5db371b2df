//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// sizeChanges returns a channel that tells when the terminal has another size, and
// the function that closes it.
func sizeChanges() (changed <-chan os.Signal, end func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGWINCH)
	return ch, func() {
		signal.Stop(ch)
		close(ch)
	}
}

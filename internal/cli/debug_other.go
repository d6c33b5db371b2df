//go:build !unix

package cli

import "os"

// sizeChanges returns a channel that is silent: nothing tells of another size here.
func sizeChanges() (changed <-chan os.Signal, end func()) {
	ch := make(chan os.Signal)
	return ch, func() { close(ch) }
}

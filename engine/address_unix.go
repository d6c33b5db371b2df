//go:build unix

package engine

import "golang.org/x/sys/unix"

// probeSocket tells whether this user may write to the socket.
func probeSocket(path string) error { return unix.Access(path, unix.W_OK) }

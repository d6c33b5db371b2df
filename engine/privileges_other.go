//go:build !linux

package engine

import "context"

// EnsurePrivileges does nothing here: only the embedded engine on Linux needs
// any privilege.
func EnsurePrivileges(context.Context, Options) (reexeced bool, exitCode int, err error) {
	return false, 0, nil
}

// Rootless tells whether this process is root only inside a user namespace:
// never here.
func Rootless() bool { return false }

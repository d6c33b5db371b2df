//go:build !unix

package engine

// probeSocket tells nothing where sockets have no permissions.
func probeSocket(string) error { return nil }

//go:build !linux

package engine

// SharesProcesses reports whether steps see the processes of the engine, which
// runs on Linux only.
func SharesProcesses() bool { return false }

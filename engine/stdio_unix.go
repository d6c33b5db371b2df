//go:build unix

package engine

import "syscall"

// ownProcessGroup keeps Ctrl-C from the program: it has to carry our orderly
// farewell to the daemon first.
func ownProcessGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

//go:build !unix

package engine

import "syscall"

func ownProcessGroup() *syscall.SysProcAttr { return nil }

package test

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// starter runs functions on one thread that lives as long as this process: the
// kernel sends the signal of a parent's death when the thread ends that started
// the child.
var starter = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// startBound starts a command that is told to end when this process ends, however
// that happens: a test that is killed leaves no daemon and no guest behind.
func startBound(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	result := make(chan error, 1)
	starter() <- func() { result <- cmd.Start() }
	return <-result
}

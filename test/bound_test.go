package test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const boundVariable = "OSBUILDKIT_TEST_BOUND"

// init makes this program, started by TestStartBound, one that has a child.
func init() {
	if os.Getenv(boundVariable) == "" {
		return
	}
	cmd := exec.Command("sleep", "1000")
	if err := startBound(cmd); err != nil {
		os.Exit(1)
	}
	os.Stdout.WriteString(strconv.Itoa(cmd.Process.Pid) + "\n")
	time.Sleep(time.Hour)
}

func TestStartBound(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(program)
	parent.Env = append(os.Environ(), boundVariable+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		// A process that ended may not have been waited for yet.
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(state), ") Z ") {
			return
		}
		if time.Since(begin) > time.Minute {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the child of a killed process goes on")
		}
	}
}

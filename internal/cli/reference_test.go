package cli

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"syscall"
	"testing"
)

// The help lists the exit codes that the program has.
func TestExitHelp(t *testing.T) {
	t.Parallel()
	terminated, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGTERM})
	want := []string{"0"}
	for _, code := range []int{exitFailed, exitInvalid, exitInterrupted, abortCode(terminated)} {
		want = append(want, fmt.Sprint(code))
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^ +(\d+)  `).FindAllStringSubmatch(exitHelp, -1) {
		got = append(got, m[1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("the help has %v, the program %v", got, want)
	}
}

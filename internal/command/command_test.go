package command

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	t.Setenv("TRACEPARENT", "volatile")
	var log strings.Builder
	run := func(argv ...string) ([]byte, error) {
		return Command{Argv: argv, Env: List(7), Stdin: []byte("in"), Quiet: argv[0] == "cat"}.Run(t.Context(), &log)
	}
	_, err := run("sh", "-c", `echo "$SOURCE_DATE_EPOCH $HOME $TRACEPARENT"; echo oops >&2; exit 3`)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "sh -c") || !strings.HasSuffix(err.Error(), "7 /root \noops") {
		t.Errorf("got %v", err)
	}
	if log.String() != "7 /root \noops\n" {
		t.Errorf("the log holds %q", log.String())
	}
	if code := ExitCode(fmt.Errorf("with more: %w", err)); code != 3 {
		t.Errorf("exit code %d", code)
	}
	if _, err := run("sh", "-c", "kill -9 $$"); ExitCode(err) != 128+9 {
		t.Errorf("%v has the exit code %d", err, ExitCode(err))
	}
	if out, err := run("cat"); err != nil || string(out) != "in" || ExitCode(err) != 0 {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := run("no-such-program"); err == nil || !strings.Contains(err.Error(), "there is no program no-such-program in /") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := (Command{Argv: []string{"sleep", "10"}}).Run(ctx, nil); err == nil {
		t.Error("a cancelled program succeeds")
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	end := &tail{}
	for i := range 10000 {
		fmt.Fprintf(end, "line %d\n", i)
	}
	lines := strings.Split(end.String(), "\n")
	if len(lines) != 20 || lines[0] != "line 9980" || lines[19] != "line 9999" {
		t.Errorf("%q", lines)
	}
}

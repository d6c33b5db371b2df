package tool

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	t.Parallel()
	if p, err := Find("dash", "no-such-program-here", "sh"); err != nil || !strings.HasSuffix(p, "bin/sh") {
		t.Errorf("sh: %q, %v", p, err)
	}
	_, err := Find("some-package", "no-such-program-here")
	if err == nil || !strings.Contains(err.Error(), "add the package some-package") {
		t.Errorf("error %v does not name the package", err)
	}
}

func TestRun(t *testing.T) {
	sh, err := Find("dash", "sh")
	if err != nil {
		t.Skip(err)
	}
	t.Setenv("TRACEPARENT", "volatile")
	out, err := Run(t.Context(), []string{"EXTRA=1"}, sh, "-c", `echo "$EXTRA $LC_ALL [$TRACEPARENT]"`)
	if err != nil || out != "1 C []\n" {
		t.Errorf("got %q, %v", out, err)
	}
	_, err = Run(t.Context(), nil, sh, "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo the end >&2; exit 3")
	var te *Error
	if !errors.As(err, &te) || !strings.HasSuffix(te.Output, "the end") || len(te.Output) > maxTail {
		t.Errorf("error %.200v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, nil, sh, "-c", "exit 0"); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

// Package tool finds and runs programs of the build root with a fixed
// environment, so that nothing of the builder's own reaches an image.
package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// dirs is where programs are looked for: tools for disks live in sbin, which
// is not on everybody's PATH.
var dirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// Find returns the path of the first of the names that is installed. The error
// names the package that brings it.
func Find(pkg string, names ...string) (string, error) {
	for _, n := range names {
		for _, d := range dirs {
			p := filepath.Join(d, n)
			if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				return p, nil
			}
		}
	}
	return "", fmt.Errorf("the build root has no %s: add the package %s to it", strings.Join(names, " or "), pkg)
}

// Error is the failure of a program.
type Error struct {
	// Program is its name without a directory.
	Program string
	// Output is the end of what it printed.
	Output string
	// Err is what exec said.
	Err error
}

// Error gives the program, how it ended and the last lines of its output.
func (e *Error) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("%s: %v", e.Program, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Program, e.Err, e.Output)
}

// Unwrap returns the error of exec.
func (e *Error) Unwrap() error { return e.Err }

// Run runs a program and returns what it printed on both streams. The
// environment is fixed but for env. A failure is an *Error, unless ctx ended.
func Run(ctx context.Context, env []string, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append([]string{"PATH=" + strings.Join(dirs, ":"), "LC_ALL=C", "TZ=UTC", "HOME=/nonexistent"}, env...)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(program), context.Cause(ctx))
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = errors.New("it left a process behind")
	}
	return out.String(), &Error{Program: filepath.Base(program), Output: strings.TrimSpace(out.String()), Err: err}
}

// maxTail bounds what is kept of a program's output.
const maxTail = 16 << 10

// tail keeps the end of what is written to it.
type tail struct{ buf bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > maxTail {
		p = p[len(p)-maxTail:]
	}
	if over := t.buf.Len() + len(p) - maxTail; over > 0 {
		t.buf.Next(over)
	}
	t.buf.Write(p)
	return n, nil
}

func (t *tail) String() string { return t.buf.String() }

package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// Environment is what modules and the programs that they start see of the
// outside: variables by name. The epoch is in seconds since 1970.
func Environment(epoch int64) map[string]string {
	return map[string]string{
		"PATH":              "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME":              "/root",
		"LC_ALL":            "C.UTF-8",
		"TZ":                "UTC",
		"SOURCE_DATE_EPOCH": strconv.FormatInt(epoch, 10),
	}
}

// List returns the environment as a list of NAME=VALUE, sorted.
func List(epoch int64) []string {
	var out []string
	for k, v := range Environment(epoch) {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

// Command is one program to be run.
type Command struct {
	// Argv are its name and arguments. A name without a slash is looked for in
	// the usual directories below Root.
	Argv []string
	// Env is the whole environment.
	Env []string
	// Stdin is what the program reads; nil is /dev/null.
	Stdin []byte
	// Root is the root directory of the program; "" and "/" leave it as it is.
	Root string
	// Quiet keeps standard output out of the log: it is a result.
	Quiet bool
}

// Run runs the program and returns its standard output if the command is
// quiet. What it prints goes to the log as well, which may be nil. The error of
// a program that fails is an *Error.
func (c Command) Run(ctx context.Context, log io.Writer) ([]byte, error) {
	if log == nil {
		log = io.Discard
	}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	if c.Root != "" && c.Root != "/" {
		attr, err := unix.ChrootAttr(c.Root)
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr = attr
	}
	if !strings.Contains(c.Argv[0], "/") {
		found, err := Find(c.Root, c.Argv[0])
		if err != nil {
			return nil, err
		}
		cmd.Path, cmd.Err = found, nil
	}
	cmd.Dir = "/"
	cmd.Env = c.Env
	if c.Stdin != nil {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	// A daemon that a script leaves behind keeps the pipe open.
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	end := &tail{}
	both := io.MultiWriter(log, end)
	cmd.Stderr = both
	cmd.Stdout = both
	if c.Quiet {
		cmd.Stdout = io.MultiWriter(&out, end)
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, exec.ErrWaitDelay) {
			fmt.Fprintf(log, "%s left a process behind that holds its output open\n", c.Argv[0])
			return out.Bytes(), nil
		}
		return out.Bytes(), &Error{Argv: c.Argv, Err: err, Output: end.String()}
	}
	return out.Bytes(), nil
}

// Find finds a program in the usual directories below root.
func Find(root, name string) (string, error) {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		p := path.Join(dir, name)
		if st, err := os.Stat(filepath.Join("/", root, p)); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("there is no program %s in %s", name, path.Clean("/"+root))
}

// Error is a program that failed.
type Error struct {
	// Argv are its name and arguments.
	Argv []string
	// Err says how it ended.
	Err error
	// Output is the end of what it has printed.
	Output string
}

// Error names the program, how it ended, and the last lines that it printed.
func (e *Error) Error() string {
	cmd := strings.Join(e.Argv, " ")
	if len(cmd) > 200 {
		cmd = cmd[:200] + " …"
	}
	s := fmt.Sprintf("%s: %v", cmd, e.Err)
	if out := strings.TrimSpace(e.Output); out != "" {
		s += "\n" + out
	}
	return s
}

// Unwrap returns how the program ended.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode returns the exit code that an error of Run stands for, as shells
// tell it: 128 and the number of the signal for a program that was killed. It
// is 0 for other errors.
func ExitCode(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0
	}
	if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return 128 + int(st.Signal())
	}
	return exit.ExitCode()
}

// tailSize is how much of a program's output an error shows, in bytes.
const tailSize = 4000

// tail keeps the last lines that are written to it.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 4*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	return len(p), nil
}

// String returns the last up to 20 whole lines.
func (t *tail) String() string {
	b := t.buf
	if len(b) > tailSize {
		b = b[len(b)-tailSize:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) > 20 {
		lines = lines[len(lines)-20:]
	}
	return strings.Join(lines, "\n")
}

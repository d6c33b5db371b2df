package packages

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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/osbuildkit/osbuildkit/module"
)

// environment is what programs of the tree and of the build root are given:
// nothing is inherited, as what the builder sets differs between builds.
func environment(in *module.Input) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"USER=root",
		"LOGNAME=root",
		"SHELL=/bin/sh",
		"TERM=dumb",
		"LC_ALL=C.UTF-8",
		"LANG=C.UTF-8",
		"TZ=UTC",
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(in.Epoch, 10),
		"SYSTEMD_OFFLINE=1",
		"PERL_HASH_SEED=0",
		"PYTHONHASHSEED=0",
	}
}

// debianEnvironment keeps Debian's scripts from asking.
var debianEnvironment = []string{
	"DEBIAN_FRONTEND=noninteractive",
	"DEBIAN_PRIORITY=critical",
	"DEBCONF_NONINTERACTIVE_SEEN=true",
	"DEBCONF_NOWARNINGS=yes",
	"UCF_FORCE_CONFFOLD=1",
	"NEEDRESTART_SUSPEND=1",
}

// program is one program to be run.
type program struct {
	argv []string
	// env is added to the fixed environment.
	env []string
	// stdin is what the program reads; nil is /dev/null.
	stdin []byte
	// root is the root directory of the program; "" and "/" leave it as it is.
	root string
	// rpm leaves out what only Debian's scripts understand.
	rpm bool
	// quiet keeps standard output out of the log: it is a result.
	quiet bool
}

// run runs the program and returns its standard output. What it prints goes
// to the log as well, and the end of it into the error if it fails.
func run(ctx context.Context, in *module.Input, p program) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	if p.root != "" && p.root != "/" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: p.root}
	}
	if !strings.Contains(p.argv[0], "/") {
		found, err := lookIn(p.root, p.argv[0])
		if err != nil {
			return nil, err
		}
		cmd.Path, cmd.Err = found, nil
	}
	cmd.Dir = "/"
	cmd.Env = environment(in)
	if !p.rpm {
		cmd.Env = append(cmd.Env, debianEnvironment...)
	}
	cmd.Env = append(cmd.Env, p.env...)
	if p.stdin != nil {
		cmd.Stdin = bytes.NewReader(p.stdin)
	}
	// A daemon that a script leaves behind keeps the pipe open.
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	end := &tail{}
	log := in.Log
	if log == nil {
		log = io.Discard
	}
	both := io.MultiWriter(log, end)
	cmd.Stderr = both
	cmd.Stdout = both
	if p.quiet {
		cmd.Stdout = io.MultiWriter(&out, end)
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, exec.ErrWaitDelay) {
			in.Logf("%s left a process behind that holds its output open", p.argv[0])
			return out.Bytes(), nil
		}
		return out.Bytes(), &runError{argv: p.argv, err: err, output: end.String()}
	}
	return out.Bytes(), nil
}

// lookIn finds a program in the usual directories below root.
func lookIn(root, name string) (string, error) {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		p := path.Join(dir, name)
		if st, err := os.Stat(filepath.Join("/", root, p)); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("there is no program %s in %s", name, path.Clean("/"+root))
}

// runError is a program that failed.
type runError struct {
	argv   []string
	err    error
	output string
}

// Error names the program, how it ended, and the last lines that it printed.
func (e *runError) Error() string {
	cmd := strings.Join(e.argv, " ")
	if len(cmd) > 200 {
		cmd = cmd[:200] + " …"
	}
	s := fmt.Sprintf("%s: %v", cmd, e.err)
	if out := strings.TrimSpace(e.output); out != "" {
		s += "\n" + out
	}
	return s
}

func (e *runError) Unwrap() error { return e.err }

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

// insidePath returns the name that a path has for a program whose root is the
// tree, or an error if the tree does not hold it.
func insidePath(in *module.Input, p string) (string, error) {
	rel, err := filepath.Rel(in.Tree, p)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", fmt.Errorf("%s is not below the tree %s, so its programs cannot read it", p, in.Tree)
	}
	return "/" + rel, nil
}

// input returns the directory of an input.
func input(in *module.Input, name string) (string, error) {
	dir := in.Inputs[name]
	if dir == "" {
		return "", fmt.Errorf("the contract names no input %q", name)
	}
	return dir, nil
}

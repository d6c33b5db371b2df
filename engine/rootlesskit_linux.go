package engine

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// rootlessTerminal names the terminal of stderr for the command under
// rootlesskit, whose own stderr goes through a filter.
const rootlessTerminal = "OSBUILDKIT_ROOTLESS_TERMINAL"

// kitPrefix begins every line of rootlesskit's own.
const kitPrefix = "[rootlesskit:"

// kitExit is what rootlesskit says of every command that fails. The command has
// said why; that its exit code was 1 helps nobody.
var kitExit = regexp.MustCompile(`^\[rootlesskit:(child |parent)\] error: .*exited: exit status [0-9]+\n$`)

// kitFilter passes everything on but the lines that match kitExit. It holds back
// only the beginnings of lines that may become one of rootlesskit's.
type kitFilter struct {
	w    io.Writer
	line []byte // held back
	pass bool   // the rest of the line goes through
}

func (f *kitFilter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			part = rest[:i+1]
		}
		rest = rest[len(part):]
		f.line = append(f.line, part...)
		ended := f.line[len(f.line)-1] == '\n'
		switch {
		case f.pass, !mayBeKit(f.line):
		case !ended && len(f.line) < 64<<10:
			continue
		case kitExit.Match(f.line):
			f.line = f.line[:0]
			continue
		}
		f.pass = !ended
		if err := f.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// flush writes what is held back.
func (f *kitFilter) flush() error {
	_, err := f.w.Write(f.line)
	f.line = f.line[:0]
	return err
}

// mayBeKit tells whether a line, as far as it is known, is one of rootlesskit's.
func mayBeKit(line []byte) bool {
	n := min(len(line), len(kitPrefix))
	return string(line[:n]) == kitPrefix[:n]
}

// terminalOf returns the device of the terminal that f is, or "".
func terminalOf(f *os.File) string {
	if _, err := console.ConsoleFromFile(f); err != nil {
		return ""
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil || !strings.HasPrefix(name, "/dev/") {
		return ""
	}
	return filepath.Clean(name)
}

// takeTerminal makes the terminal that the caller of rootlesskit has named the
// stderr of this process, so that the progress display finds a terminal there.
// Without one, stderr stays what it is.
func takeTerminal() {
	name := os.Getenv(rootlessTerminal)
	if name == "" {
		return
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		_ = unix.Dup3(fd, int(os.Stderr.Fd()), 0) // else the filtered pipe is kept
	}
}

package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"
)

// stdioGrace is how long a program may take to end after its stdin is closed.
const stdioGrace = 2 * time.Second

// maxTail in bytes is how much of a program's stderr is kept for a message.
const maxTail = 4096

// tail is a writer that keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf); n > maxTail {
		t.buf = append(t.buf[:0], t.buf[n-maxTail:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// stdioConn is a connection over the stdin and stdout of a program. Closing it
// ends the program and waits for it.
type stdioConn struct {
	cmd    *exec.Cmd
	in     *os.File // we write, the program reads
	out    *os.File // the program writes, we read
	exited chan struct{}

	closeOnce sync.Once
	closeErr  error
}

// startStdio starts a program with pipes to both its ends.
func startStdio(args []string, stderr io.Writer) (net.Conn, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close(), in.Close())
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, stderr
	cmd.SysProcAttr = ownProcessGroup()
	// A grandchild may keep stderr open after the program has ended.
	cmd.WaitDelay = stdioGrace
	err = cmd.Start()
	err = errors.Join(err, theirIn.Close(), theirOut.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", args[0], err), in.Close(), out.Close())
	}
	c := &stdioConn{cmd: cmd, in: in, out: out, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // what it has to say is on its stderr
		close(c.exited)
	}()
	return c, nil
}

// Read reads what the program writes.
func (c *stdioConn) Read(p []byte) (int, error) { return c.out.Read(p) }

// Write writes to what the program reads.
func (c *stdioConn) Write(p []byte) (int, error) { return c.in.Write(p) }

// CloseWrite tells the program that no more comes.
func (c *stdioConn) CloseWrite() error { return c.in.Close() }

// Close closes both pipes and ends the program, by force if it has to.
func (c *stdioConn) Close() error {
	c.closeOnce.Do(func() {
		err := c.in.Close()
		if errors.Is(err, os.ErrClosed) {
			err = nil // CloseWrite was called
		}
		c.closeErr = errors.Join(err, c.out.Close())
		select {
		case <-c.exited:
		case <-time.After(stdioGrace):
			_ = c.cmd.Process.Kill() // it may have ended just now
			<-c.exited
		}
	})
	return c.closeErr
}

// stdioAddr names both ends: pipes have no addresses.
type stdioAddr struct{}

func (stdioAddr) Network() string { return "stdio" }
func (stdioAddr) String() string  { return "stdio" }

// LocalAddr returns a name that is the same for all such connections.
func (c *stdioConn) LocalAddr() net.Addr { return stdioAddr{} }

// RemoteAddr returns a name that is the same for all such connections.
func (c *stdioConn) RemoteAddr() net.Addr { return stdioAddr{} }

// SetDeadline sets both deadlines.
func (c *stdioConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds the next Read.
func (c *stdioConn) SetReadDeadline(t time.Time) error { return c.out.SetReadDeadline(t) }

// SetWriteDeadline bounds the next Write.
func (c *stdioConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }

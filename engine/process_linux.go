package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// processName is the name of the engine's process, by which this program knows
// that it is meant to be one.
const processName = "osbuildkit-engine"

// settings are what the engine's process is told at its start.
type settings struct {
	Root        string        `json:"root"`
	Wait        time.Duration `json:"wait"`
	Snapshotter string        `json:"snapshotter,omitempty"`
	Emulation   bool          `json:"emulation,omitempty"`
	Limit       int64         `json:"limit,omitempty"`
	Image       string        `json:"image,omitempty"`
	Allow       []string      `json:"allow,omitempty"`
	Holder      holder        `json:"holder"`
}

// message is one packet between this process and the engine's. Each has one of
// the fields.
type message struct {
	// From this process: the first one, a connection (which comes with the
	// packet), and the last one.
	Open    *settings `json:"open,omitempty"`
	Connect bool      `json:"connect,omitempty"`
	Close   bool      `json:"close,omitempty"`
	// From the engine: a line for the user, that it is ready or why it is not,
	// and how it has ended.
	Notice string  `json:"notice,omitempty"`
	Ready  bool    `json:"ready,omitempty"`
	Failed string  `json:"failed,omitempty"`
	Closed *string `json:"closed,omitempty"`
}

// maxMessage in bytes bounds a packet.
const maxMessage = 64 << 10

// HasEmbedded says whether this system can have an embedded engine.
const HasEmbedded = true

// process is the process of an embedded engine. Nothing that this process has
// inherited from its caller reaches it: see inherit_linux.go. When this process
// ends in whatever way, the engine notices, removes its containers and ends.
type process struct {
	root    string // Store/buildkit, absolute, free of links
	cmd     *exec.Cmd
	control *net.UnixConn
	notify  func(string)
	ready   chan error    // one value: how the start went
	exited  chan struct{} // closed when the process has ended
	serving sync.WaitGroup

	mu      sync.Mutex
	told    bool // ready has its value
	closing bool
	closed  *string // what the process said at its end
}

// startProcess starts the embedded engine and waits until it can be used.
func startProcess(ctx context.Context, o Options) (_ *process, err error) {
	if err := checkUser(); err != nil {
		return nil, err
	}
	root, err := makeRoot(o.Store)
	if err != nil {
		return nil, err
	}
	wait := o.Wait
	if wait == 0 {
		wait = DefaultWait
	}
	p := &process{root: root, notify: o.Notify, ready: make(chan error, 1), exited: make(chan struct{})}
	if p.notify == nil {
		p.notify = func(string) {}
	}
	if err := p.fork(); err != nil {
		return nil, fmt.Errorf("starting the embedded engine: %w", err)
	}
	err = p.send(message{Open: &settings{
		Root: root, Wait: wait, Snapshotter: o.Snapshotter, Emulation: o.Emulation, Limit: o.Limit, Image: o.Image, Allow: o.Allow,
		Holder: holder{PID: os.Getpid(), Command: commandLine(os.Args), Since: time.Now().Truncate(time.Second)},
	}}, nil)
	if err == nil {
		select {
		case err = <-p.ready:
		case <-ctx.Done():
			err = fmt.Errorf("starting the embedded engine: %w", context.Cause(ctx))
		}
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// fork starts the process, with a socket between it and this one.
func (p *process) fork() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(fds[1]), "engine")
	defer theirs.Close()
	if p.control, err = unixConn(fds[0]); err != nil {
		return err
	}
	log, err := private.OpenFile(logFile(p.root), os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return errors.Join(err, p.control.Close())
	}
	defer log.Close()
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Args = []string{processName, p.root}
	p.cmd.ExtraFiles = []*os.File{theirs}
	p.cmd.Stderr = log // what is written when it crashes
	p.cmd.Env = cleanEnvironment(os.Environ(), p.root)
	p.cmd.Dir = "/"
	if err := startClean(p.cmd, p.root); err != nil {
		return errors.Join(err, p.control.Close())
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.follow()
	}()
	go func() {
		err := p.cmd.Wait()
		<-read
		p.ended(err)
		close(p.exited)
	}()
	return nil
}

// unixConn makes a connection of a socket's descriptor.
func unixConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// follow reads what the engine says, to the end.
func (p *process) follow() {
	buf := make([]byte, maxMessage)
	for {
		n, err := p.control.Read(buf)
		if err != nil || n == 0 {
			return
		}
		var m message
		if json.Unmarshal(buf[:n], &m) != nil {
			return
		}
		switch {
		case m.Notice != "":
			p.notify(m.Notice)
		case m.Ready:
			p.tell(nil)
		case m.Failed != "":
			p.tell(errors.New(m.Failed))
		case m.Closed != nil:
			p.mu.Lock()
			p.closed = m.Closed
			p.mu.Unlock()
		}
	}
}

// tell says how the start went, if that is not known already.
func (p *process) tell(err error) (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = !p.told
	if first {
		p.told = true
		p.ready <- err
	}
	return first
}

// ended notes that the process is gone, and says so where nobody has asked for it.
func (p *process) ended(err error) {
	died := p.diedError(err)
	if p.tell(died) {
		return
	}
	p.mu.Lock()
	expected := p.closing || p.closed != nil
	p.mu.Unlock()
	if !expected {
		p.notify(died.Error())
	}
}

func (p *process) diedError(err error) error {
	why := "exit status 0"
	if err != nil {
		why = err.Error()
	}
	return fmt.Errorf("the embedded engine has ended unexpectedly (%s); its log is %s", why, logFile(p.root))
}

// send sends one message, with a file that the engine gets.
func (p *process) send(m message, f *os.File) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var rights []byte
	if f != nil {
		rights = unix.UnixRights(int(f.Fd()))
	}
	_, _, err = p.control.WriteMsgUnix(data, rights, nil)
	return err
}

// dial connects a client.
func (p *process) dial(ctx context.Context) (*client.Client, error) {
	c, err := client.New(ctx, "passthrough:///embedded", client.WithContextDialer(
		func(context.Context, string) (net.Conn, error) { return p.connect() }))
	if err != nil {
		return nil, fmt.Errorf("the embedded engine: %w", err)
	}
	return c, nil
}

// connect makes a new connection to the engine.
func (p *process) connect() (net.Conn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(fds[1]), "connection")
	defer theirs.Close()
	ours, err := unixConn(fds[0])
	if err != nil {
		return nil, err
	}
	if err := p.send(message{Connect: true}, theirs); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	return ours, nil
}

// serve hands the connections of one more listener to the engine until ctx is
// done.
func (p *process) serve(ctx context.Context, network, addr string) error {
	l, err := listen(ctx, network, addr)
	if err != nil {
		return fmt.Errorf("serving %s: %w", addr, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = l.Close() })
	go func() {
		select {
		case <-p.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = p.hand(c)
		}
		if err != nil {
			return fmt.Errorf("serving %s: %w", addr, err)
		}
	}
}

// hand gives a connection away.
func (p *process) hand(c net.Conn) error {
	defer c.Close()
	filer, ok := c.(interface{ File() (*os.File, error) })
	if !ok {
		return fmt.Errorf("a connection of type %T cannot be handed on", c)
	}
	f, err := filer.File()
	if err != nil {
		return err
	}
	defer f.Close()
	return p.send(message{Connect: true}, f)
}

// close asks the engine to end and waits until its process is gone.
func (p *process) close() error {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	err := p.send(message{Close: true}, nil)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		err = nil // it has ended already, and said why
	}
	<-p.exited
	err = errors.Join(err, p.control.Close())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil && *p.closed != "" {
		err = errors.Join(err, errors.New(*p.closed))
	}
	return err
}

// makeRoot makes Store/buildkit and returns its real path: mounts are found by
// their path in the kernel's table, which knows no links. Nobody else may enter:
// below are programs with the set-user-ID bit of whole systems, and files that are
// being written. Nor may anybody else have been there before: what it holds is
// run and overwritten.
func makeRoot(store string) (string, error) {
	real, err := private.MakeStore(store)
	if err != nil {
		return "", err
	}
	root := filepath.Join(real, private.State)
	if err := private.MakeDir(root); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	probe, err := os.CreateTemp(root, ".probe-")
	if err != nil {
		return "", fmt.Errorf("store %s is not writable by this user (was it made by root?); choose another with --store: %w", store, err)
	}
	return root, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

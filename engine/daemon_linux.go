package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/stack"
	"github.com/moby/buildkit/version"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// buildkitVersion is the BuildKit release this package is written for; a test
// compares it with go.mod. A library is not told its own version, the daemon
// reports this one.
const buildkitVersion = "v0.34.2"

// How long Close waits for requests to end by themselves, and for containers to
// be removed after that.
const (
	drainTimeout     = 5 * time.Second
	containerTimeout = 15 * time.Second
)

var versionOnce sync.Once

// daemon is BuildKit's daemon inside this process.
type daemon struct {
	root       string // Store/buildkit, absolute, free of links
	lock       *storeLock
	server     *grpc.Server
	listener   *bufconn.Listener
	controller *control.Controller
	steps      *stepTracker
	records    *metadata.Store
	runtime    ociRuntime
	served     sync.WaitGroup

	// undo is run by close in reverse order, after the controller is closed.
	undo []func() error
}

// startDaemon takes the store and brings a daemon up on it.
func startDaemon(ctx context.Context, o Options) (_ *daemon, err error) {
	if err := checkUser(); err != nil {
		return nil, err
	}
	rt, err := findRuntime()
	if err != nil {
		return nil, err
	}
	root, err := makeRoot(o.Store)
	if err != nil {
		return nil, err
	}
	d := &daemon{root: root, runtime: rt}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	wait := o.Wait
	if wait == 0 {
		wait = DefaultWait
	}
	if d.lock, err = lockStore(ctx, filepath.Join(root, "lock"), wait, o.Notify); err != nil {
		return nil, err
	}
	stopLog, err := startLog(o.Log, root)
	if err != nil {
		return nil, fmt.Errorf("log of the embedded engine: %w", err)
	}
	d.undo = append(d.undo, stopLog)
	if err := checkRuntime(ctx, rt, root); err != nil {
		return nil, err
	}
	if err := cleanLeftovers(ctx, root, rt); err != nil {
		return nil, fmt.Errorf("removing what an earlier run left in %s: %w", root, err)
	}
	restore, err := useTempDir(filepath.Join(root, "tmp"))
	if err != nil {
		return nil, err
	}
	d.undo = append(d.undo, restore)
	versionOnce.Do(func() {
		version.Version = buildkitVersion
		stack.SetVersionInfo(buildkitVersion, "")
	})
	if err := d.newController(o); err != nil {
		return nil, fmt.Errorf("starting the embedded engine in %s: %w", root, err)
	}
	d.server = grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)
	d.controller.Register(d.server)
	d.listener = bufconn.Listen(1 << 20)
	d.served.Go(func() { _ = d.server.Serve(d.listener) }) // ends with the server
	return d, nil
}

// makeRoot makes Store/buildkit and returns its real path: mounts are found by
// their path in the kernel's table, which knows no links.
func makeRoot(store string) (string, error) {
	root := filepath.Join(store, "buildkit")
	if err := os.MkdirAll(root, 0o711); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	root, err = filepath.EvalSymlinks(root)
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	probe, err := os.CreateTemp(root, ".probe-")
	if err != nil {
		return "", fmt.Errorf("store %s is not writable by this user (was it made by root?); choose another with --store: %w", store, err)
	}
	return root, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// tempDirs counts the engines of this process that have set TMPDIR.
var tempDirs struct {
	sync.Mutex
	users  int
	before string
	had    bool
}

// maxTempPath keeps room for the names of the sockets that BuildKit makes for
// ssh below the temporary directory: a socket's path has 107 bytes at most.
const maxTempPath = 70

// useTempDir lets BuildKit make its temporary mounts in dir, inside the store:
// whatever a killed process leaves there is found again, and it lies on the disk
// that was chosen for images and not in a small /tmp.
func useTempDir(dir string) (restore func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if len(dir) > maxTempPath {
		return func() error { return nil }, nil
	}
	t := &tempDirs
	t.Lock()
	defer t.Unlock()
	if t.users == 0 {
		t.before, t.had = os.LookupEnv("TMPDIR")
		if err := os.Setenv("TMPDIR", dir); err != nil {
			return nil, err
		}
	}
	t.users++
	return func() error {
		t.Lock()
		defer t.Unlock()
		t.users--
		switch {
		case t.users > 0:
			return nil
		case t.had:
			return os.Setenv("TMPDIR", t.before)
		}
		return os.Unsetenv("TMPDIR")
	}, nil
}

// dial connects a client through memory.
func (d *daemon) dial(ctx context.Context) (*client.Client, error) {
	c, err := client.New(ctx, "passthrough:///embedded", client.WithContextDialer(
		func(ctx context.Context, _ string) (net.Conn, error) { return d.listener.DialContext(ctx) }))
	if err != nil {
		return nil, fmt.Errorf("the embedded engine: %w", err)
	}
	return c, nil
}

// serve offers the daemon on one more listener until ctx is done.
func (d *daemon) serve(ctx context.Context, network, addr string) error {
	l, err := listen(ctx, network, addr)
	if err != nil {
		return fmt.Errorf("serving %s: %w", addr, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	d.served.Add(1)
	defer d.served.Done()
	err = d.server.Serve(l)
	if ctx.Err() != nil || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("serving %s: %w", addr, err)
	}
	return nil
}

// listen makes the listener for serve. Whoever can connect rules the builds of
// this user, so a socket is made for the user alone and tcp stays on loopback.
func listen(ctx context.Context, network, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	switch network {
	case "unix":
		if err := removeStaleSocket(addr); err != nil {
			return nil, err
		}
		// Linux gives the file the mode that the socket has before it is bound
		// to it, so that nobody else can connect at any time.
		lc.Control = func(_, _ string, c syscall.RawConn) error {
			var chmod error
			err := c.Control(func(fd uintptr) { chmod = unix.Fchmod(int(fd), 0o600) })
			return errors.Join(err, chmod)
		}
		return lc.Listen(ctx, network, addr)
	case "tcp", "tcp4", "tcp6":
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("%q is not a loopback address; use a unix socket and ssh for other machines", host)
		}
		return lc.Listen(ctx, network, addr)
	}
	return nil, fmt.Errorf("unknown network %q, use unix or tcp", network)
}

// removeStaleSocket removes a socket that nobody listens on, and nothing else.
func removeStaleSocket(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode()&os.ModeSocket == 0 {
		return errors.New("the path exists and is not a socket")
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return errors.New("another process serves there")
	}
	return os.Remove(path)
}

// close ends the daemon: requests first, then containers, then the databases.
func (d *daemon) close() error {
	var errs []error
	if d.server != nil {
		stopServer(d.server)
		d.served.Wait()
	}
	if d.steps != nil {
		errs = append(errs, d.steps.drain(d.runtime, containerTimeout))
	}
	if d.controller != nil {
		errs = append(errs, forgetRecords(d.records), d.controller.Close())
	}
	if d.lock != nil && d.steps != nil {
		errs = append(errs, unmountBelow(d.root))
	}
	for i := len(d.undo) - 1; i >= 0; i-- {
		errs = append(errs, d.undo[i]())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.unlock())
	}
	return errors.Join(errs...)
}

// stopServer lets running requests end for a moment, then cancels them.
func stopServer(s *grpc.Server) {
	done := make(chan struct{})
	go func() {
		s.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(drainTimeout):
		s.Stop()
		<-done
	}
}

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
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/stack"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker/base"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// buildkitVersion is the BuildKit release this package is written for; a test
// compares it with go.mod. A library is not told its own version, the daemon
// reports this one.
const buildkitVersion = "v0.34.2"

// How long Close waits for requests to end by themselves, for containers to be
// removed after that, and for the cache to come within its limit.
const (
	drainTimeout     = 5 * time.Second
	containerTimeout = 15 * time.Second
	collectTimeout   = time.Minute
)

// daemonOptions are what the engine's process knows when it brings its daemon up.
type daemonOptions struct {
	settings
	ulimits []*pb.Ulimit // of steps
	notify  func(string)
}

// daemon is BuildKit's daemon. There is one in a process.
type daemon struct {
	root       string // Store/buildkit, absolute, free of links
	lock       *storeLock
	server     *grpc.Server
	controller *control.Controller
	steps      *stepTracker
	worker     *base.Worker
	keys       solver.CacheManager
	collector  collector
	runtime    ociRuntime
	served     sync.WaitGroup

	// undo is run by close in reverse order, after the controller is closed.
	undo []func() error
}

// startDaemon takes the store and brings a daemon up on it, which serves the
// connections of a listener.
func startDaemon(ctx context.Context, o daemonOptions, l net.Listener) (_ *daemon, err error) {
	rt, err := findRuntime()
	if err != nil {
		return nil, err
	}
	d := &daemon{root: o.Root, runtime: rt}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close(false))
		}
	}()
	if d.lock, err = lockStore(ctx, filepath.Join(o.Root, "lock"), o.Holder, o.Wait, o.notify); err != nil {
		return nil, err
	}
	if err := startLog(o.Root); err != nil {
		return nil, fmt.Errorf("log of the embedded engine: %w", err)
	}
	if o.Image != "" {
		if err := noteImage(o.Root, o.Image, time.Now()); err != nil {
			return nil, err
		}
	}
	if err := checkRuntime(ctx, rt, o.Root); err != nil {
		return nil, err
	}
	if err := cleanLeftovers(ctx, o.Root, rt); err != nil {
		return nil, fmt.Errorf("removing what an earlier run left in %s: %w", o.Root, err)
	}
	if err := private.MakeDir(tempDir(o.Root)); err != nil {
		return nil, err
	}
	version.Version = buildkitVersion
	stack.SetVersionInfo(buildkitVersion, "")
	d.collector = collector{limit: o.Limit, free: diskOf(o.Root).Free}
	if err := d.newController(o); err != nil {
		return nil, fmt.Errorf("starting the embedded engine in %s: %w", o.Root, err)
	}
	d.server = grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)
	d.controller.Register(d.server)
	d.served.Go(func() { _ = d.server.Serve(l) }) // ends with the server
	return d, nil
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
// Requests are given time to end by themselves if somebody waits for them.
func (d *daemon) close(orderly bool) error {
	var errs []error
	if d.server != nil {
		if orderly {
			stopServer(d.server)
		} else {
			d.server.Stop()
		}
		d.served.Wait()
	}
	if d.steps != nil {
		errs = append(errs, d.steps.drain(d.runtime, containerTimeout))
	}
	if d.controller != nil && orderly {
		ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
		errs = append(errs, d.collect(ctx))
		cancel()
	}
	if d.controller != nil {
		errs = append(errs, d.controller.Close())
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

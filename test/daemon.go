package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Daemon is a BuildKit daemon as it is released, started by the tests.
type Daemon struct {
	// Address is what clients dial.
	Address string

	cmd *exec.Cmd
	log record
}

// record is what a process has written; it is safe for use by several
// goroutines.
type record struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (o *record) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.Write(p)
}

// StartDaemon starts the program, a buildkitd, with its state and its socket
// in dir. More arguments come after the usual ones.
func StartDaemon(program, dir string, args ...string) (*Daemon, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "daemon.sock")
	d := &Daemon{Address: "unix://" + socket}
	d.cmd = exec.Command(program, append([]string{
		"--root", filepath.Join(dir, "root"), "--addr", d.Address,
		"--containerd-worker=false", "--oci-worker=true", "--oci-worker-net=host",
	}, args...)...)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	if err := startBound(d.cmd); err != nil {
		return nil, err
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return d, conn.Close()
		}
		if time.Since(begin) > time.Minute {
			return nil, errors.Join(fmt.Errorf("the daemon does not listen: %s", d.Log()), d.Stop())
		}
	}
}

// Stop ends the daemon and waits for it.
func (d *Daemon) Stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- d.cmd.Wait() }()
	select {
	case <-done:
		// It ends with an error when it is told to end.
		return nil
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("the daemon did not end"), d.cmd.Process.Kill())
	}
}

// Log returns the end of what the daemon has written.
func (d *Daemon) Log() string {
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	text := d.log.data.String()
	return strings.ToValidUTF8(text[max(0, len(text)-4000):], "")
}

// Registry is a registry of images on loopback.
type Registry struct {
	// Host is its name and port.
	Host string

	server *http.Server
}

// StartRegistry starts a registry that keeps its blobs in dir.
func StartRegistry(dir string) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Registry{Host: listener.Addr().String(), server: &http.Server{Handler: registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)), registry.Logger(log.New(io.Discard, "", 0)),
	)}}
	go func() { _ = r.server.Serve(listener) }() // ends when it is closed
	return r, nil
}

// Close ends the registry.
func (r *Registry) Close() error { return r.server.Close() }

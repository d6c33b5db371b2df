//go:build e2e

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
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// The tests of the frontend image use what a user's builder is made of: a
// BuildKit daemon as it is released, buildx, and a registry.

// daemon is a BuildKit daemon of its own.
type daemon struct {
	// name is buildx's name for it, address what clients dial.
	name, address string
	cmd           *exec.Cmd
	log           bytes.Buffer
}

// startDaemon starts a daemon with its state in dir, and makes it a builder of
// buildx. More arguments come after the usual ones.
func startDaemon(dir, name string, args ...string) (*daemon, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	d := &daemon{name: name, address: "unix://" + filepath.Join(dir, "daemon.sock")}
	program, err := filepath.Abs("../bin/buildkitd")
	if err != nil {
		return nil, err
	}
	d.cmd = exec.Command(program, append([]string{
		"--root", filepath.Join(dir, "root"), "--addr", d.address,
		"--containerd-worker=false", "--oci-worker=true", "--oci-worker-net=host",
	}, args...)...)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", strings.TrimPrefix(d.address, "unix://"))
		if err == nil {
			conn.Close()
			break
		}
		if time.Since(begin) > time.Minute {
			return nil, errors.Join(fmt.Errorf("the daemon does not listen: %s", d.tail()), d.stop())
		}
	}
	if err := createBuilder(name, d.address); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// stop ends the daemon.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- d.cmd.Wait() }()
	select {
	case <-done:
		return nil
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("the daemon did not end"), d.cmd.Process.Kill())
	}
}

// tail is the end of the daemon's log.
func (d *daemon) tail() []byte { return d.log.Bytes()[max(0, d.log.Len()-4000):] }

// newDaemon starts a daemon for one test, with nothing in its cache.
func newDaemon(t testing.TB, name string, args ...string) *daemon {
	t.Helper()
	needFrontend(t)
	dir, err := os.MkdirTemp("", "osbuildkit-daemon-")
	if err != nil {
		t.Fatal(err)
	}
	d, err := startDaemon(dir, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.stop(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the daemon's log: %s", d.tail())
		}
	})
	return d
}

// The tools that the tests drive.
const (
	buildxProgram   = "../bin/buildx"
	buildctlProgram = "../bin/buildctl"
)

// buildxCommand is a command of buildx with a configuration of the tests' own.
func buildxCommand(args ...string) *exec.Cmd {
	program, err := filepath.Abs(buildxProgram)
	if err != nil {
		program = buildxProgram
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "BUILDX_CONFIG="+filepath.Join(frontend.dir, "buildx"), "DOCKER_CONFIG="+filepath.Join(frontend.dir, "docker"))
	return cmd
}

// createBuilder makes an address a builder of buildx.
func createBuilder(name, address string, options ...string) error {
	args := []string{"create", "--name", name, "--driver", "remote"}
	for _, o := range options {
		args = append(args, "--driver-opt", o)
	}
	out, err := buildxCommand(append(args, address)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("buildx create: %w: %s", err, out)
	}
	return nil
}

// frontend is what the tests of the frontend image share: one daemon, one
// registry, and the image itself.
var frontend struct {
	once sync.Once
	err  error
	// dir holds the state of all of it.
	dir string
	// daemon has built the image.
	daemon *daemon
	// layout is the OCI layout of the frontend image.
	layout string
	// registry is the host and port of a registry that has the image as
	// osbuildkit/frontend:1.
	registry string
	server   *http.Server
}

// needFrontend skips the test where the machine cannot run it, and prepares
// what the tests of the frontend image share.
func needFrontend(t testing.TB) {
	t.Helper()
	need(t, "git")
	frontend.once.Do(func() { frontend.err = startFrontend() })
	if frontend.err != nil {
		t.Fatal(frontend.err)
	}
}

func startFrontend() error {
	var err error
	if frontend.dir, err = os.MkdirTemp(shared.store, "frontend-"); err != nil {
		return err
	}
	for _, p := range []string{"../bin/buildkitd", buildxProgram, buildctlProgram, "../bin/image/linux-" + runtime.GOARCH} {
		if _, err := os.Stat(p); err != nil {
			return fmt.Errorf("%w: run 'make tools image'", err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	frontend.registry = listener.Addr().String()
	frontend.server = &http.Server{Handler: registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(frontend.dir)),
		registry.Logger(log.New(io.Discard, "", 0)))}
	go func() { _ = frontend.server.Serve(listener) }() // ends when it is closed
	if frontend.daemon, err = startDaemon(filepath.Join(frontend.dir, "daemon"), "shared"); err != nil {
		return err
	}
	frontend.layout = filepath.Join(frontend.dir, "image")
	out, err := buildxCommand("build", "--builder", "shared", "--target", "frontend", "--build-context", "binaries=../bin/image",
		"--provenance=false", "-o", "type=oci,tar=false,dest="+frontend.layout,
		"-o", "type=image,push=true,name="+frontend.registry+"/osbuildkit/frontend:1", "..").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the frontend image: %w: %s", err, out)
	}
	return nil
}

// stopFrontend ends what startFrontend has started.
func stopFrontend() error {
	var err error
	if frontend.daemon != nil {
		err = frontend.daemon.stop()
	}
	if frontend.server != nil {
		err = errors.Join(err, frontend.server.Close())
	}
	return err
}

// frontendName is what manifests of the tests call the frontend image.
const frontendName = "osbuildkit/frontend"

// withFrontend are the arguments with which buildx finds the image without a
// registry, and packages on the tests' mirror.
func withFrontend() []string {
	return []string{
		"--build-context", frontendName + "=oci-layout://" + frontend.layout + ":latest",
		"--build-arg", "OSBUILDKIT_MIRROR=" + shared.mirror.URL(),
	}
}

// startBuildx starts a build through buildx on a daemon.
func startBuildx(t testing.TB, d *daemon, args ...string) *process {
	t.Helper()
	all := append([]string{"build", "--builder", d.name, "--progress", "rawjson"}, withFrontend()...)
	return start(t, buildxCommand(append(all, args...)...))
}

// buildxBuild builds through buildx and expects success.
func buildxBuild(t testing.TB, d *daemon, args ...string) *process {
	t.Helper()
	p := startBuildx(t, d, args...).wait()
	if p.code() != 0 {
		t.Fatalf("buildx build %s: exit code %d\n%s", strings.Join(args, " "), p.code(), p.text())
	}
	return p
}

// syntax adds the key to a manifest that makes buildx use the frontend.
func syntax(m object) object {
	m["syntax"] = frontendName
	return m
}

// buildDir writes a manifest into a directory of its own, the context of the
// build, and returns the directory.
func buildDir(t testing.TB, m object) string {
	t.Helper()
	return filepath.Dir(manifestFile(t, "image.json", m))
}

// tarOf is the output that writes a tree to a file.
func tarOf(file string) string { return "type=tar,dest=" + file }

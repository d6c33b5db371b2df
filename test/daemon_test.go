//go:build e2e

package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// The tests of the frontend image use what a user's builder is made of: a
// BuildKit daemon as it is released, buildx, and a registry.

// daemon is a BuildKit daemon that is a builder of buildx.
type daemon struct {
	*Daemon
	// name is buildx's name for it, address what clients dial.
	name, address string
}

// startDaemon starts a daemon with its state in dir, and makes it a builder of
// buildx.
func startDaemon(dir, name string, args ...string) (*daemon, error) {
	d, err := StartDaemon(buildkitdProgram, dir, args...)
	if err != nil {
		return nil, err
	}
	if err := createBuilder(name, d.Address); err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	return &daemon{Daemon: d, name: name, address: d.Address}, nil
}

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
		if err := errors.Join(d.Stop(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the daemon's log: %s", d.Log())
		}
	})
	return d
}

// The tools that the tests drive.
const (
	buildxProgram    = "../bin/buildx"
	buildctlProgram  = "../bin/buildctl"
	buildkitdProgram = "../bin/buildkitd"
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
	server   *Registry
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
	frontend.dir = filepath.Join(shared.store, "frontend")
	frontend.layout = filepath.Join(frontend.dir, "image")
	// A store that was kept has the daemon's cache; the rest is made anew.
	for _, dir := range []string{frontend.layout, filepath.Join(frontend.dir, "buildx"), filepath.Join(frontend.dir, "registry")} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	for _, p := range []string{buildkitdProgram, buildxProgram, buildctlProgram, "../bin/image/linux-" + runtime.GOARCH} {
		if _, err := os.Stat(p); err != nil {
			return fmt.Errorf("%w: run 'make tools image'", err)
		}
	}
	var err error
	if frontend.server, err = StartRegistry(filepath.Join(frontend.dir, "registry")); err != nil {
		return err
	}
	frontend.registry = frontend.server.Host
	if frontend.daemon, err = startDaemon(filepath.Join(frontend.dir, "daemon"), "shared"); err != nil {
		return err
	}
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
		err = frontend.daemon.Stop()
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

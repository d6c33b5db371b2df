//go:build e2e

package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/engine"
)

// TestAddress builds through the socket of a daemon: this process offers the
// embedded engine on one. The cache is that of the command line's own builds.
func TestAddress(t *testing.T) {
	need(t)
	file := manifestFile(t, "small.json", small())
	build(t, "-o", t.TempDir(), file)
	e, err := engine.Open(t.Context(), engine.Options{Builder: engine.EmbeddedName, Store: shared.store})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	socket := filepath.Join(t.TempDir(), "daemon.sock")
	go func() { served <- e.Serve(ctx, "unix", socket) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	for len(files(t, filepath.Dir(socket))) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	dir := t.TempDir()
	for _, tt := range []struct {
		args []string
		ran  []string
	}{
		{nil, nil},
		{[]string{"--no-cache=assembler"}, []string{"[assembler 1/1] org.osbuild.qemu"}},
		{nil, nil},
	} {
		// The builder's store is not the client's.
		args := append([]string{"--builder", "unix://" + socket, "--store", t.TempDir(), "-o", dir}, tt.args...)
		p := build(t, append(args, file)...)
		if !slices.Equal(p.ran(), tt.ran) {
			t.Errorf("%q: these ran: %q, want %q", tt.args, p.ran(), tt.ran)
		}
		checkSums(t, dir, smallImage)
	}
}

// TestDaemon builds in a BuildKit daemon as it is released, which knows nothing
// of this project, and has nothing in its cache.
func TestDaemon(t *testing.T) {
	need(t)
	daemon, err := filepath.Abs("../bin/buildkitd")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(daemon); err != nil {
		t.Skip("bin/buildkitd is not there: 'make tools' builds it")
	}
	dir, err := os.MkdirTemp("", "osbuildkit-daemon-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	socket := filepath.Join(dir, "daemon.sock")
	var log bytes.Buffer
	cmd := exec.Command(daemon, "--root", filepath.Join(dir, "root"), "--addr", "unix://"+socket,
		"--containerd-worker=false", "--oci-worker=true")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the daemon's log: %s", log.Bytes()[max(0, log.Len()-4000):])
		}
	}()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("the daemon does not listen")
		}
	}
	m := small()
	m["stages"] = []any{
		stage("org.osbuildkit.debootstrap", object{"suite": suite, "variant": "required"}),
		stage("org.osbuild.hostname", object{"hostname": "remote"}),
	}
	file, out, store := manifestFile(t, "remote.json", m), t.TempDir(), t.TempDir()
	args := []string{"--builder", "unix://" + socket, "--store", store, "-o", out, "--target", "tree", file}
	p := build(t, args...)
	if got := p.ran(); !slices.Contains(got, "[tree 2/2] org.osbuild.hostname") {
		t.Errorf("these ran: %q", got)
	}
	first := sha256File(t, filepath.Join(out, "tree.tar"))
	if p = build(t, args...); len(p.ran()) > 0 {
		t.Errorf("the second time these ran: %q", p.ran())
	}
	if got := sha256File(t, filepath.Join(out, "tree.tar")); got != first {
		t.Error("the same tree is another archive")
	}
	if got := string(readTree(t, filepath.Join(out, "tree.tar"), nil)["etc/hostname"].Data); got != "remote\n" {
		t.Errorf("/etc/hostname is %q", got)
	}
}

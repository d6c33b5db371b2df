//go:build e2e

package test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
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
	socket := serveEngine(t, e)
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

// serveEngine offers an engine on a socket until the test ends.
func serveEngine(t *testing.T, e *engine.Engine) (socket string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	socket = filepath.Join(t.TempDir(), "daemon.sock")
	go func() { served <- e.Serve(ctx, "unix", socket) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, e.Close()); err != nil {
			t.Error(err)
		}
	})
	for len(files(t, filepath.Dir(socket))) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	return socket
}

// TestDaemon builds in a BuildKit daemon as it is released, which knows nothing
// of this project, and has nothing in its cache.
func TestDaemon(t *testing.T) {
	d := newDaemon(t, "plain")
	m := small()
	m["stages"] = []any{
		stage("org.osbuildkit.debootstrap", object{"suite": suite, "variant": "required"}),
		stage("org.osbuild.hostname", object{"hostname": "remote"}),
	}
	file, out, store := manifestFile(t, "remote.json", m), t.TempDir(), t.TempDir()
	args := []string{"--builder", d.address, "--store", store, "-o", out, "--target", "tree", file}
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

//go:build e2e

package test

import (
	"context"
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

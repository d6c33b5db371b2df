//go:build !linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/moby/buildkit/client"
)

// daemon does not exist here: BuildKit's worker needs Linux.
type daemon struct{ root string }

func startDaemon(context.Context, Options) (*daemon, error) {
	return nil, fmt.Errorf("the embedded engine needs Linux, this is %s: name a builder with --builder or BUILDKIT_HOST", runtime.GOOS)
}

var errNoDaemon = errors.New("no embedded engine")

func (*daemon) dial(context.Context) (*client.Client, error) { return nil, errNoDaemon }
func (*daemon) serve(_ context.Context, _, _ string) error   { return errNoDaemon }
func (*daemon) close() error                                 { return nil }

//go:build !linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/moby/buildkit/client"
)

// process does not exist here: BuildKit's worker needs Linux.
type process struct{ root string }

func startProcess(context.Context, Options) (*process, error) {
	return nil, fmt.Errorf("the embedded engine needs Linux, this is %s: name a builder with --builder or BUILDKIT_HOST", runtime.GOOS)
}

var errNoProcess = errors.New("no embedded engine")

func (*process) dial(context.Context) (*client.Client, error) { return nil, errNoProcess }
func (*process) serve(_ context.Context, _, _ string) error   { return errNoProcess }
func (*process) close() error                                 { return nil }

//go:build !linux

package engine

import (
	"context"
	"errors"

	"github.com/moby/buildkit/client"
)

// HasEmbedded says whether this system can have an embedded engine.
const HasEmbedded = false

// process does not exist here: BuildKit's worker needs Linux.
type process struct{ root string }

func startProcess(context.Context, Options) (*process, error) {
	return nil, errNotEmbedded
}

var errNoProcess = errors.New("no embedded engine")

func (*process) dial(context.Context) (*client.Client, error) { return nil, errNoProcess }
func (*process) serve(_ context.Context, _, _ string) error   { return errNoProcess }
func (*process) close() error                                 { return nil }

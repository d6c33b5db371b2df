package assemblers

import (
	"context"

	"github.com/osbuildkit/osbuildkit/module"
)

// NoopOptions are the options of org.osbuild.noop: there are none.
type NoopOptions struct{}

// runNoop makes nothing.
func runNoop(_ context.Context, in *module.Input) error {
	return in.DecodeOptions(new(NoopOptions))
}

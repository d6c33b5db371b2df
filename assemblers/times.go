package assemblers

import (
	"context"
	"errors"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// timed gives what an assembler has written, directories among it, the time of
// the build: a container image of it is then the same in every build.
func timed(run func(context.Context, *module.Input) error) func(context.Context, *module.Input) error {
	return func(ctx context.Context, in *module.Input) (err error) {
		if err := run(ctx, in); err != nil || in.OutputDir == "" {
			return err
		}
		t, err := tree.Open(in.OutputDir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, t.Close()) }()
		return t.SetTimes(in.Time())
	}
}

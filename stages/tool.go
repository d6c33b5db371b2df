package stages

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
)

// tool is a program of the build root.
type tool struct {
	in   *module.Input
	path string
}

// findTool finds a program of the build root, or says what to install there.
// In a step the build root is the root; elsewhere the program is run from where
// it is, with the libraries of the machine.
func findTool(in *module.Input, name, pkg string) (*tool, error) {
	found, err := command.Find(in.BuildRoot, name)
	if err != nil {
		return nil, fmt.Errorf("there is no program %s in the build root: install %s there", name, pkg)
	}
	return &tool{in, filepath.Join("/", in.BuildRoot, found)}, nil
}

// run runs the program.
func (p *tool) run(ctx context.Context, args ...string) error {
	_, err := command.Command{Argv: append([]string{p.path}, args...), Env: command.List(p.in.Epoch)}.Run(ctx, p.in.Log)
	return err
}

// toolOf makes the Run function of a stage that runs programs of the build
// root.
func toolOf[T any, P interface {
	*T
	checker
}](do func(ctx context.Context, in *module.Input, o *T) error) func(context.Context, *module.Input) error {
	return func(ctx context.Context, in *module.Input) error {
		o := P(new(T))
		if err := in.DecodeOptions(o); err != nil {
			return err
		}
		if err := problemsError(o.check()); err != nil {
			return err
		}
		return do(ctx, in, (*T)(o))
	}
}

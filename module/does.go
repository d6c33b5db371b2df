//go:build linux && !describe_only

package module

import "context"

// Does returns the function of a module. A program that is built with the tag
// describe_only knows modules and their options, and runs none: the linker then
// leaves out what they do, which is most of their code. So is the command line of
// other systems than Linux: steps are Linux, and runners alone run modules.
func Does(run func(ctx context.Context, in *Input) error) func(ctx context.Context, in *Input) error {
	return run
}

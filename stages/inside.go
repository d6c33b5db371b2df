package stages

import (
	"context"
	"fmt"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// insideOf makes the Run function of a stage that runs programs of the tree.
// It is runOf, and afterwards notes in the ledger which extended attributes the
// programs have set.
func insideOf[T any, P interface {
	*T
	checker
}](do func(ctx context.Context, in *module.Input, t *tree.Root, o *T) error) func(context.Context, *module.Input) error {
	return func(ctx context.Context, in *module.Input) error {
		run := runOf[T, P](func(in *module.Input, t *tree.Root, o *T) error { return do(ctx, in, t, o) })
		if err := run(ctx, in); err != nil {
			return err
		}
		found, err := ledger.Collect(ctx, in.Ledger, in.Tree, in.Time())
		if found > 0 {
			in.Logf("%d extended attributes of files are noted in the ledger", found)
		}
		return err
	}
}

// insideEnvironment is what programs of the tree are given: that of all
// modules, and what keeps programs from looking for a running system or
// leaving behind what differs from build to build.
func insideEnvironment(in *module.Input) []string {
	return append(command.List(in.Epoch), "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "TERM=dumb",
		"SYSTEMD_OFFLINE=1", "PERL_HASH_SEED=0", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1")
}

// needProgram says which package stage to add where a program is missing.
func needProgram(in *module.Input, root, name, pkg string) error {
	if _, err := command.Find(root, name); err != nil {
		where := "the tree"
		if root != in.Tree {
			where = "the build root"
		}
		return fmt.Errorf("there is no program %s in %s: install %s there first", name, where, pkg)
	}
	return nil
}

package stages

import (
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// RemoveUniquenessOptions are the options of org.osbuild.remove-uniqueness:
// there are none.
type RemoveUniquenessOptions struct{}

// removeUniquenessStage removes what must not be the same on two systems:
// etc/machine-id and the seed of systemd's random numbers. Osbuild gave the
// stage up in 2019. Its own kept the seed of a tree without a machine-id, and
// in its last form did nothing, as it took its options for the tree; here both
// files are removed.
var removeUniquenessStage = module.Module{
	Name:    "org.osbuild.remove-uniqueness",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "remove the machine-id and the random seed",
	Options: optionsOf[RemoveUniquenessOptions],
	Check:   checkOf[RemoveUniquenessOptions],
	Run:     runOf(runRemoveUniqueness),
}

func (*RemoveUniquenessOptions) check() []module.Problem { return nil }

func runRemoveUniqueness(_ *module.Input, t *tree.Root, _ *RemoveUniquenessOptions) error {
	files := []string{"etc/machine-id", "var/lib/systemd/random-seed"}
	for _, name := range files {
		if err := removable(t, name); err != nil {
			return err
		}
	}
	for _, name := range files {
		if err := clearPlace(t, name); err != nil {
			return err
		}
	}
	return nil
}

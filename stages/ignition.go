package stages

import (
	"fmt"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// IgnitionOptions are the options of org.osbuild.ignition.
type IgnitionOptions struct {
	// Arguments of the kernel that say how the network is set up while Ignition
	// runs, such as ip=dhcp. Without them the boot loader's own are used.
	Network []string `json:"network,omitempty"`
	// The directory in which the boot loader looks for the file.
	Target string `json:"target,omitempty" jsonschema:"default=tree:///boot,pattern=^tree:///"`
}

// ignitionStage writes the file ignition.firstboot, whose presence makes the
// boot loader start Ignition. Osbuild fails where the directory is missing;
// here it is made. It can also write to a mounted disk; here the target is in
// the tree.
var ignitionStage = module.Module{
	Name:    "org.osbuild.ignition",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "run Ignition when the system boots for the first time",
	Options: optionsOf[IgnitionOptions],
	Check:   checkOf[IgnitionOptions],
	Run:     runOf(runIgnition),
}

const inTree = "tree://"

func (o *IgnitionOptions) check() []module.Problem {
	var problems []module.Problem
	for i, arg := range o.Network {
		if arg == "" || hasControl(arg) || strings.ContainsRune(arg, '\'') {
			problems = append(problems, module.Problem{
				Pointer: fmt.Sprintf("/network/%d", i),
				Message: quote(arg) + " cannot stand in the boot loader's file: leave out single quotes and control characters",
			})
		}
	}
	if o.Target != "" && !strings.HasPrefix(o.Target, inTree+"/") || strings.ContainsRune(o.Target, 0) {
		problems = append(problems, module.Problem{Pointer: "/target", Message: quote(o.Target) + " is not in the tree: name a directory such as tree:///boot"})
	}
	return problems
}

func runIgnition(in *module.Input, t *tree.Root, o *IgnitionOptions) error {
	dir := strings.TrimPrefix(orDefault(o.Target, inTree+"/boot"), inTree)
	text := ""
	if len(o.Network) > 0 {
		// No line break at the end, as with osbuild.
		text = "set ignition_network_kcmdline='" + strings.Join(o.Network, " ") + "'"
	}
	return writeFile(in, t, path.Join(dir, "ignition.firstboot"), []byte(text), 0o644)
}

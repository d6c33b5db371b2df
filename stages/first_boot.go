package stages

import (
	"fmt"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// FirstBootOptions are the options of org.osbuild.first-boot.
type FirstBootOptions struct {
	// The programs to run, each as one command line of a systemd unit, such as
	// /usr/bin/touch /etc/ready. They run one after the other; the first one
	// that fails ends the row.
	Commands []string `json:"commands" jsonschema:"required"`
	// Whether the commands wait until the network is up.
	WaitForNetwork bool `json:"wait_for_network,omitempty" jsonschema:"default=false"`
}

// firstBootStage makes the unit osbuild-first-boot.service, which runs only
// while the file etc/osbuild-first-boot exists and removes that before it runs
// the commands. Where osbuild fails, because the unit is linked already, the
// unit is written anew.
var firstBootStage = module.Module{
	Name:    "org.osbuild.first-boot",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "run programs when the system boots for the first time",
	Options: optionsOf[FirstBootOptions],
	Check:   checkOf[FirstBootOptions],
	Run:     runOf(runFirstBoot),
}

func (o *FirstBootOptions) check() []module.Problem {
	var problems []module.Problem
	for i, c := range o.Commands {
		why := ""
		switch {
		case strings.TrimSpace(c) == "":
			why = "the command is empty; name a program"
		case strings.ContainsAny(c, "\n\r\x00"):
			why = "the command is more than one line; put it into a file of the tree and name that"
		case strings.HasSuffix(c, `\`):
			why = "a backslash at the end would continue the line of the unit"
		default:
			continue
		}
		problems = append(problems, module.Problem{Pointer: fmt.Sprintf("/commands/%d", i), Message: why})
	}
	return problems
}

func (o *FirstBootOptions) unit() string {
	var b strings.Builder
	b.WriteString("[Unit]\nDescription=OSBuild First Boot Service\nConditionPathExists=/" + firstBootFlag + "\n")
	if o.WaitForNetwork {
		b.WriteString("Wants=network-online.target\nAfter=network-online.target\n")
	} else {
		b.WriteString("\n") // as osbuild, to the byte
	}
	b.WriteString("\n[Service]\nType=oneshot\n\nExecStart=/usr/bin/rm /" + firstBootFlag + "\n")
	for _, c := range o.Commands {
		b.WriteString("ExecStart=" + c + "\n")
	}
	return b.String()
}

const firstBootFlag = "etc/osbuild-first-boot"

func runFirstBoot(in *module.Input, t *tree.Root, o *FirstBootOptions) error {
	const dir, unit = "usr/lib/systemd/system/", "osbuild-first-boot.service"
	const wants = dir + "default.target.wants/" + unit
	for _, name := range []string{dir + unit, firstBootFlag} {
		if err := writable(t, name); err != nil {
			return err
		}
	}
	if err := renewable(t, wants); err != nil {
		return err
	}
	if err := writeFile(in, t, dir+unit, []byte(o.unit()), 0o644); err != nil {
		return err
	}
	if err := renewLink(t, "../"+unit, wants); err != nil {
		return err
	}
	if ok, err := t.Exists(firstBootFlag); ok || err != nil {
		return err
	}
	return writeFile(in, t, firstBootFlag, nil, 0o644)
}

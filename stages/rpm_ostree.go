package stages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// RPMOSTreeOptions are the options of org.osbuild.rpm-ostree.
type RPMOSTreeOptions struct {
	// Groups that stay in etc/group, where people can be added to them, instead
	// of in the read-only usr/lib/group.
	EtcGroupMembers []string `json:"etc_group_members,omitempty"`
	// Arguments for dracut when the initramfs is made again.
	InitramfsArgs []string `json:"initramfs-args,omitempty"`
}

// rpmOSTreeStage has rpm-ostree of the build root give a tree the layout that
// OSTree needs. It fails where the build root has no such program; Fedora has
// it, Debian does not. Osbuild tells rpm-ostree to keep an empty
// machine-id where the tree has one, and so does this stage. rpm-ostree runs
// dracut and scripts with bubblewrap, which a builder that allows no user
// namespaces in its steps refuses: its own message is then in the log.
var rpmOSTreeStage = module.Module{
	Name:    "org.osbuild.rpm-ostree",
	Kind:    module.Stage,
	Sandbox: module.Tools,
	Group:   module.GroupStages,
	Summary: "give a tree of RPM packages the layout of OSTree",
	Options: optionsOf[RPMOSTreeOptions],
	Check:   checkOf[RPMOSTreeOptions],
	Run:     toolOf(runRPMOSTree),
}

func (o *RPMOSTreeOptions) check() []module.Problem {
	var problems []module.Problem
	for i, g := range o.EtcGroupMembers {
		if g == "" || strings.ContainsAny(g, ":, ") || hasControl(g) {
			problems = append(problems, module.Problem{Pointer: fmt.Sprintf("/etc_group_members/%d", i), Message: quote(g) + " is not the name of a group"})
		}
	}
	for i, a := range o.InitramfsArgs {
		if a == "" || hasControl(a) {
			problems = append(problems, module.Problem{Pointer: fmt.Sprintf("/initramfs-args/%d", i), Message: quote(a) + " is not an argument"})
		}
	}
	return problems
}

// treefile is what rpm-ostree is told about a tree.
type treefile struct {
	Ref             string   `json:"ref"`
	BootLocation    string   `json:"boot-location"`
	MachineIDCompat bool     `json:"machineid-compat"`
	EtcGroupMembers []string `json:"etc-group-members"`
	InitramfsArgs   []string `json:"initramfs-args,omitempty"`
}

func runRPMOSTree(ctx context.Context, in *module.Input, o *RPMOSTreeOptions) (err error) {
	program, err := findTool(in, "rpm-ostree", "rpm-ostree (Fedora)")
	if err != nil {
		return err
	}
	t, err := tree.Open(in.Tree)
	if err != nil {
		return err
	}
	defer t.Close()
	// The program wants a reference, and this step makes none.
	tf := treefile{Ref: "osbuild/devel", BootLocation: "new", EtcGroupMembers: append([]string{}, o.EtcGroupMembers...), InitramfsArgs: o.InitramfsArgs}
	if tf.MachineIDCompat, err = t.Exists("etc/machine-id"); err != nil {
		return err
	}
	text, err := json.Marshal(tf)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "osbuildkit-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "treefile.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	return program.run(ctx, "compose", "postprocess", in.Tree, file)
}

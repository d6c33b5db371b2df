package stages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages/stub"
	"github.com/osbuildkit/osbuildkit/tree"
)

// ScriptOptions are the options of org.osbuild.script.
type ScriptOptions struct {
	// The whole script. Its first line may name an interpreter of the tree, such
	// as "#!/usr/bin/python3"; without one it is run by /bin/sh.
	Script string `json:"script" jsonschema:"required,minLength=1"`
	// Whether the script has the network. The step is run again only if
	// something before it changes, and not if what it fetches does.
	Network bool `json:"network,omitempty" jsonschema:"default=false"`
}

// scriptStage runs a script with the tree as its root. Of 2019's stage it
// keeps that the exit code decides. Decided otherwise:
//
//   - The script is in /run, which is no part of the tree, instead of
//     /osbuild-script: nothing is left in the tree if it is killed.
//   - /proc, /sys, /dev, /run and /tmp are there. What is written to them is
//     gone after the step.
//   - There is no network unless the options say so. With it /etc/resolv.conf
//     and /etc/hosts are the builder's while the script runs, and are the
//     tree's own afterwards, unless the script has replaced them.
//   - The environment is fixed, and standard input is empty.
var scriptStage = module.Module{
	Name:    "org.osbuild.script",
	Kind:    module.Stage,
	Sandbox: module.Inside,
	Group:   module.GroupStages,
	Ledger:  module.LedgerWrite,
	Network: scriptNetwork,
	Summary: "run a script in the tree",
	Options: optionsOf[ScriptOptions],
	Check:   checkOf[ScriptOptions],
	Run:     insideOf(runScript),
}

func scriptNetwork(options json.RawMessage) bool {
	var o ScriptOptions
	in := module.Input{Options: options}
	return in.DecodeOptions(&o) == nil && o.Network
}

func (o *ScriptOptions) check() []module.Problem {
	bad := func(why string) []module.Problem { return []module.Problem{{Pointer: "/script", Message: why}} }
	first, _, _ := strings.Cut(o.Script, "\n")
	switch {
	case strings.TrimSpace(o.Script) == "":
		return bad("the script is empty")
	case strings.ContainsRune(o.Script, 0):
		return bad("a NUL byte cannot stand in a script")
	case strings.HasPrefix(first, "#!") && !strings.HasPrefix(strings.TrimLeft(first[2:], " \t"), "/"):
		return bad("the first line names no interpreter by its absolute path, such as #!/bin/sh")
	case strings.HasPrefix(first, "#!") && strings.HasSuffix(first, "\r"):
		return bad("the lines end in carriage returns, which become part of the interpreter's name")
	}
	return nil
}

// scriptFile is where the script is, seen from the tree.
const scriptFile = "run/osbuild-script"

func runScript(ctx context.Context, in *module.Input, t *tree.Root, o *ScriptOptions) (err error) {
	argv := []string{"/" + scriptFile}
	interpreter := "/bin/sh"
	if line, ok := strings.CutPrefix(o.Script, "#!"); ok {
		line, _, _ = strings.Cut(line, "\n")
		interpreter = strings.Fields(line)[0]
	} else {
		argv = append([]string{interpreter}, argv...)
	}
	if st, err := t.Stat(interpreter); err != nil || !st.Mode().IsRegular() {
		return fmt.Errorf("the script needs %s, which is not in the tree: install it before this stage", interpreter)
	}
	if err := t.MkdirAll(path.Dir(scriptFile), 0o755); err != nil {
		return err
	}
	if err := t.ReplaceFile(scriptFile, []byte(o.Script), 0o550, os.Geteuid(), os.Getegid()); err != nil {
		return err
	}
	// The script itself may have removed it.
	defer func() {
		if rerr := t.Remove(scriptFile); rerr != nil && !missing(rerr) {
			err = errors.Join(err, rerr)
		}
	}()
	cmd := command.Command{Argv: argv, Env: insideEnvironment(in), Root: in.Tree}
	run := func() error {
		_, err := cmd.Run(ctx, in.Log)
		return err
	}
	if o.Network {
		err = stub.Lend(t, run)
	} else {
		err = run()
	}
	if code := command.ExitCode(err); code != 0 {
		// What it has printed is in the log already.
		return fmt.Errorf("the script failed: %w", module.ExitCode(code))
	}
	return err
}

package packages

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
)

// environment is what programs of the tree and of the build root are given:
// that of all modules, and what scripts of packages expect.
func environment(in *module.Input) []string {
	return append(command.List(in.Epoch),
		"USER=root",
		"LOGNAME=root",
		"SHELL=/bin/sh",
		"TERM=dumb",
		"LANG=C.UTF-8",
		"SYSTEMD_OFFLINE=1",
		"PERL_HASH_SEED=0",
		"PYTHONHASHSEED=0",
	)
}

// debianEnvironment keeps Debian's scripts from asking questions.
var debianEnvironment = []string{
	"DEBIAN_FRONTEND=noninteractive",
	"DEBIAN_PRIORITY=critical",
	"DEBCONF_NONINTERACTIVE_SEEN=true",
	"DEBCONF_NOWARNINGS=yes",
	"UCF_FORCE_CONFFOLD=1",
	"NEEDRESTART_SUSPEND=1",
}

// program is one program to be run.
type program struct {
	argv []string
	// env is added to the fixed environment.
	env []string
	// stdin is what the program reads; nil is /dev/null.
	stdin []byte
	// root is the root directory of the program; "" and "/" leave it as it is.
	root string
	// rpm leaves out what only Debian's scripts understand.
	rpm bool
	// quiet keeps standard output out of the log: it is a result.
	quiet bool
}

// run runs the program and returns its standard output if that is a result.
// What it prints goes to the log, and the end of it into the error if it fails.
func run(ctx context.Context, in *module.Input, p program) ([]byte, error) {
	env := environment(in)
	if !p.rpm {
		env = append(env, debianEnvironment...)
	}
	return command.Command{
		Argv: p.argv, Env: append(env, p.env...), Stdin: p.stdin, Root: p.root, Quiet: p.quiet,
	}.Run(ctx, in.Log)
}

// insidePath returns the name that a path has for a program whose root is the
// tree, or an error if the tree does not hold it.
func insidePath(in *module.Input, p string) (string, error) {
	rel, err := filepath.Rel(in.Tree, p)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", fmt.Errorf("%s is not below the tree %s, so its programs cannot read it", p, in.Tree)
	}
	return "/" + rel, nil
}

// input returns the directory of an input.
func input(in *module.Input, name string) (string, error) {
	dir := in.Inputs[name]
	if dir == "" {
		return "", fmt.Errorf("the contract names no input %q", name)
	}
	return dir, nil
}

package llb

import (
	"context"
	"path"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// programDir is where the file of a user's module is, inside a step.
const programDir = runDir + "/module"

// Program is a module of the user: a program that is run as it is.
type Program struct {
	// Module says what it is called and in which sandbox it runs.
	Module module.Module
	// Source is the state that holds it.
	Source llb.State
	// Path is the program in Source; Files is the directory with files of its
	// own, or empty.
	Path, Files string
}

// state returns the file system that holds the program and nothing else. Its
// key is the content of what is copied, wherever that comes from: a change to
// one module runs the steps of no other, and a directory of the client and an
// image share one cache.
func (p *Program) state() llb.State {
	name := path.Base(p.Path)
	action := llb.Copy(p.Source, "/"+p.Path, "/"+name,
		&llb.CopyInfo{Mode: &llb.ChmodOpt{Mode: 0o755}, CreatedTime: epochTime()})
	if p.Files != "" {
		action = action.Copy(p.Source, "/"+p.Files, "/"+path.Base(p.Files),
			&llb.CopyInfo{CopyDirContentsOnly: true, CreateDestPath: true, CreatedTime: epochTime()})
	}
	return llb.Scratch().File(action, llb.WithCustomNamef("[internal] module %s", name))
}

// program adds a stage or the assembler that is a module of the user.
func (g *Graph) program(ctx context.Context, at place, t Tree, p *Program) (Tree, error) {
	s := step{module: &p.Module, options: at.stage.Options, program: p}
	if p.Module.Kind == module.Assembler {
		in, err := g.Pipeline(ctx, manifest.TreePipeline)
		if err != nil {
			return Tree{}, err
		}
		s.readonly, s.output = true, true
		out, err := g.run(ctx, at, in, s)
		t.Root = out.output
		return t, err
	}
	if p.Module.Sandbox == module.Inside {
		var err error
		if t, err = g.prepare(ctx, at, t); err != nil {
			return Tree{}, err
		}
	}
	out, err := g.run(ctx, at, t, s)
	t.Root = out.tree
	return t, err
}

// args is the command that a step runs: the runner is at the given place.
func (s step) args(runner string) llb.RunOption {
	if s.program != nil {
		return llb.Args([]string{runner, "program", programDir + "/" + path.Base(s.program.Path), "--step", stepFile})
	}
	return llb.Args([]string{runner, "module", s.module.Name, "--kind", string(s.module.Kind), "--step", stepFile})
}

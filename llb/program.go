package llb

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// programDir is where the file of a user's module is, inside a step.
const programDir = runDir + "/module"

// Places of osbuild's Python package, as osbuild has them.
const (
	libDir      = runDir + "/lib"
	packageName = "osbuild"
)

// Program is a module of the user: a program that is run as it is.
type Program struct {
	// Module says what it is called and in which sandbox it runs.
	Module module.Module
	// Source is the state that holds it.
	Source llb.State
	// Path is the program in Source; Files is the directory with files of its
	// own, or empty.
	Path, Files string
	// Python says that the program imports osbuild's Python package, and
	// Package is its directory in Source, or empty.
	Python  bool
	Package string
}

// PythonCaches match what Python leaves beside the files that it has read; it
// differs from one machine to the next.
var PythonCaches = []string{"**/__pycache__", "**/*.pyc"}

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

// library returns the file system that holds osbuild's Python package.
func (p *Program) library() llb.State {
	return llb.Scratch().File(llb.Copy(p.Source, "/"+p.Package, "/"+packageName, &llb.CopyInfo{
		CopyDirContentsOnly: true, CreateDestPath: true, CreatedTime: epochTime(), ExcludePatterns: PythonCaches,
	}), llb.WithCustomName("[internal] Python package "+packageName))
}

// program adds a stage or the assembler that is a module of the user.
func (g *Graph) program(ctx context.Context, at place, t Tree, p *Program) (Tree, error) {
	s := step{module: &p.Module, options: at.stage.Options, program: p}
	var err error
	if s.inputs, s.inputData, err = g.programInputs(ctx, at); err != nil {
		return Tree{}, err
	}
	if p.Python {
		s.id = at.stage.ID
	}
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
		if t, err = g.prepare(ctx, at, t); err != nil {
			return Tree{}, err
		}
	}
	out, err := g.run(ctx, at, t, s)
	t.Root = out.tree
	return t, err
}

// programInputs returns the inputs that the stage of a program has, and what
// osbuild tells a module about each: of files, their names and options.
func (g *Graph) programInputs(ctx context.Context, at place) (map[string]llb.State, map[string]json.RawMessage, error) {
	inputs, data := map[string]llb.State{}, map[string]json.RawMessage{}
	for _, in := range at.stage.Inputs {
		if in.Origin != manifest.SourceOrigin {
			continue
		}
		files, err := g.programFiles(at, in)
		if err != nil {
			return nil, nil, err
		}
		about := map[string]json.RawMessage{}
		for _, r := range in.References {
			if about[r.ID] = r.Options; len(r.Options) == 0 {
				about[r.ID] = json.RawMessage("{}")
			}
		}
		st, err := g.fetchSources(ctx, fmt.Sprintf("%s: download %d files", at.name(""), len(files)), files, g.constraints(at)...)
		if err != nil {
			return nil, nil, err
		}
		inputs[in.Name] = st
		if data[in.Name], err = json.Marshal(map[string]any{"files": about}); err != nil {
			return nil, nil, err
		}
	}
	return inputs, data, nil
}

// programFiles returns how the files of an input of a program are fetched.
func (g *Graph) programFiles(at place, in manifest.Input) ([]download, error) {
	if in.Type != "org.osbuild.files" {
		return nil, fmt.Errorf("it reads the input %q of type %s, which modules of your own are not given yet", in.Name, in.Type)
	}
	var files []download
	for _, r := range in.References {
		d, err := g.sourceFile(at, r.ID)
		if err != nil {
			return nil, err
		}
		if d.sha256 == "" {
			return nil, fmt.Errorf("the source %s: for modules of your own only SHA-256 is verified", r.ID)
		}
		d.name = r.ID
		files = append(files, d)
	}
	return files, nil
}

// args is the command that a step runs: the runner is at the given place.
func (s step) args(runner string) llb.RunOption {
	if s.program != nil {
		args := []string{runner, "program", programDir + "/" + path.Base(s.program.Path), "--step", stepFile}
		if s.program.Python {
			args = append(args, "--python")
		}
		return llb.Args(args)
	}
	return llb.Args([]string{runner, "module", s.module.Name, "--kind", string(s.module.Kind), "--step", stepFile})
}

package llb

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/contextname"
)

const copyStage = "org.osbuild.copy"

// contextPaths lists what a stage copies from the context.
func contextPaths(s *manifest.Stage) []contextname.Path {
	if s.Kind != module.Stage || s.Type != copyStage {
		return nil
	}
	return contextname.Paths(s.Options)
}

func copiesContext(s *manifest.Stage) bool { return len(contextPaths(s)) > 0 }

// ContextNames lists the files and directories that pipelines copy from the build
// context, sorted, and without what lies in another one.
func ContextNames(pipelines []*manifest.Pipeline) []string {
	var names []string
	for _, p := range pipelines {
		for _, s := range p.Stages {
			for _, c := range contextPaths(s) {
				names = append(names, c.Name)
			}
		}
	}
	return outermost(names)
}

// outermost sorts names, and leaves out those that lie below another one.
func outermost(names []string) []string {
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(names, func(other string) bool { return strings.HasPrefix(name, other+"/") })
	})
}

// CheckContext reports the files of the build context that pipelines copy and that
// missing returns an error for.
func CheckContext(m *manifest.Manifest, pipelines []*manifest.Pipeline, missing func(name string) error) manifest.Errors {
	c := &check{graph: New(m, Options{})}
	known := map[string]error{}
	for _, p := range pipelines {
		for i, s := range p.Stages {
			c.at = place{pipeline: p, stage: s, number: i + 1}
			for _, path := range contextPaths(s) {
				err, ok := known[path.Name]
				if !ok {
					err = missing(path.Name)
					known[path.Name] = err
				}
				if err != nil {
					c.report(p.Text, s.Pointer+"/options"+path.Pointer, err)
				}
			}
		}
	}
	return c.found
}

// copyContext is the part that gives files of a client what they have in a tree.
const copyContext = "org.osbuild.copy.context"

// contextInputs are the files of the context that a stage copies, under the names
// that they have there. They are copied into a file system of their own, so that
// nothing else of the context is in the key of the step: not what other stages
// copy, and neither times nor modes of the client.
func (g *Graph) contextInputs(ctx context.Context, at place) (map[string]llb.State, error) {
	if g.opt.Context == nil {
		return nil, errors.New("the build has no context to copy files from")
	}
	from, err := g.opt.Context(ctx)
	if err != nil {
		return nil, err
	}
	m, err := g.part(copyContext)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range contextPaths(at.stage) {
		names = append(names, p.Name)
	}
	info := &llb.CopyInfo{FollowSymlinks: true, CreateDestPath: true, CreatedTime: epochTime()}
	var action *llb.FileAction
	for _, name := range outermost(names) {
		if action == nil {
			action = llb.Copy(*from, "/"+name, "/"+name, info)
		} else {
			action = action.Copy(*from, "/"+name, "/"+name, info)
		}
	}
	opts := append(g.constraints(at), llb.WithCustomName("[internal] files of the context for "+at.name("")))
	out, err := g.run(ctx, at, Tree{Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: DefaultEpoch}, step{
		module: m, part: "context", options: json.RawMessage("{}"), readonly: true, output: true, byContent: true,
		inputs: map[string]llb.State{"source": llb.Scratch().File(action, opts...)},
	})
	return map[string]llb.State{"source": out.output}, err
}

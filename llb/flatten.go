package llb

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/module"
)

// FlattenPart is the module that copies a tree.
const FlattenPart = "org.osbuildkit.flatten"

// Flatten returns the tree of a pipeline as one layer, for a container image: it
// has the times of the files and nothing of what stages have removed, and is the
// same on all builders. A tree without stages is the image that it came from.
func (g *Graph) Flatten(ctx context.Context, pipeline string, t Tree) (llb.State, error) {
	p := g.m.Pipeline(pipeline)
	if p == nil || len(p.Stages) == 0 {
		return t.Root, nil
	}
	m := g.opt.Module(module.Assembler, FlattenPart)
	if m == nil {
		return llb.State{}, errors.New("there is no " + FlattenPart)
	}
	last := len(p.Stages) - 1
	at := place{pipeline: p, stage: p.Stages[last], number: last + 1, label: g.opt.Label}
	out, err := g.run(ctx, at, t, step{module: m, part: "make one layer of " + pipeline, internal: true, options: json.RawMessage("{}"), readonly: true, output: true})
	return out.output, err
}

package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/module"
)

// stageInputs are the stages that are given items of the manifest's sources:
// functions that return the inputs of the step by name.
var stageInputs map[string]func(*Graph, context.Context, place) (map[string]llb.State, error)

func init() {
	// Set here because the functions refer to the table through Graph.run.
	stageInputs = map[string]func(*Graph, context.Context, place) (map[string]llb.State, error){
		"org.osbuild.copy":   (*Graph).copyInputs,
		"org.osbuild.ostree": (*Graph).ostreeInputs,
	}
}

// inputs returns the inputs of a stage that has some.
func (g *Graph) inputs(ctx context.Context, at place) (map[string]llb.State, error) {
	if f := stageInputs[at.stage.Type]; f != nil && at.stage.Kind == module.Stage {
		return f(g, ctx, at)
	}
	return nil, nil
}

// sourceItem returns what the manifest says about an item of its sources.
func (g *Graph) sourceItem(kind, id string) (json.RawMessage, error) {
	for _, s := range g.m.Sources {
		if item, ok := s.Items[id]; ok && s.Type == kind {
			return item, nil
		}
	}
	return nil, fmt.Errorf("the manifest's sources have no %s %s", kind, id)
}

// sourceFile returns a directory that holds one file of the manifest's sources.
func (g *Graph) sourceFile(ctx context.Context, at place, checksum string) (llb.State, error) {
	data, err := g.sourceItem("org.osbuild.curl", checksum)
	if err != nil {
		return llb.State{}, err
	}
	var item struct {
		URL      string          `json:"url"`
		Insecure bool            `json:"insecure"`
		Secrets  json.RawMessage `json:"secrets"`
	}
	if err := json.Unmarshal(data, &item.URL); err != nil {
		if err := json.Unmarshal(data, &item); err != nil {
			return llb.State{}, fmt.Errorf("the source of %s: %w", checksum, err)
		}
	}
	if item.Insecure || len(item.Secrets) > 0 {
		return llb.State{}, fmt.Errorf("the source of %s asks for \"insecure\" or \"secrets\", which is not supported: use an address that does without", checksum)
	}
	if !strings.HasPrefix(item.URL, "http://") && !strings.HasPrefix(item.URL, "https://") {
		return llb.State{}, fmt.Errorf("the source of %s has the address %q: give an http or https URL", checksum, item.URL)
	}
	algorithm, hex, _ := strings.Cut(checksum, ":")
	d := download{url: item.URL, name: hex}
	// The step verifies the others.
	if algorithm == "sha256" {
		d.sha256 = hex
	}
	return g.fetch(ctx, at.name("fetch"), []download{d}, g.constraints(at)...)
}

// copyInputs are those of org.osbuild.copy: the archive.
func (g *Graph) copyInputs(ctx context.Context, at place) (map[string]llb.State, error) {
	var o struct {
		Source struct {
			Checksum string `json:"checksum"`
		} `json:"source"`
	}
	if err := json.Unmarshal(at.stage.Options, &o); err != nil {
		return nil, err
	}
	st, err := g.sourceFile(ctx, at, o.Source.Checksum)
	return map[string]llb.State{"source": st}, err
}

// ostreeInputs are those of org.osbuild.ostree: a repository with the commit,
// which is fetched in a step that does not see the tree.
func (g *Graph) ostreeInputs(ctx context.Context, at place) (map[string]llb.State, error) {
	var o struct {
		Commit string `json:"commit"`
	}
	if err := json.Unmarshal(at.stage.Options, &o); err != nil {
		return nil, err
	}
	data, err := g.sourceItem("org.osbuild.ostree", o.Commit)
	if err != nil {
		return nil, err
	}
	var item struct {
		Remote json.RawMessage `json:"remote"`
	}
	if err := json.Unmarshal(data, &item); err != nil {
		return nil, fmt.Errorf("the source of the commit: %w", err)
	}
	if len(item.Remote) == 0 {
		return nil, errors.New("the source of the commit has no \"remote\"")
	}
	options, err := json.Marshal(map[string]any{"commit": o.Commit, "remote": item.Remote})
	if err != nil {
		return nil, err
	}
	m, err := g.part("org.osbuild.ostree.fetch")
	if err != nil {
		return nil, err
	}
	out, err := g.run(ctx, at, Tree{Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: DefaultEpoch},
		step{module: m, part: "fetch", options: options, readonly: true, output: true})
	return map[string]llb.State{"commits": out.output}, err
}

package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/contextname"
)

// stageInputs are the stages that are given items of the manifest's sources:
// functions that return the inputs of the step by name.
var stageInputs map[string]func(*Graph, context.Context, place) (map[string]llb.State, error)

func init() {
	// Set here because the functions refer to the table through Graph.run.
	stageInputs = map[string]func(*Graph, context.Context, place) (map[string]llb.State, error){
		copyStage:            (*Graph).copyInputs,
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
	if g.m.Format == manifest.Format2019 {
		return nil, fmt.Errorf("nothing says where %s is: this form of manifest has no sources; put it into \"pipeline\" and add \"sources\"", id)
	}
	return nil, fmt.Errorf("no source of kind %s has %s", kind, id)
}

// curlSource is the kind of source that has files.
const curlSource = "org.osbuild.curl"

// itemPointer returns the JSON pointer of an item of a source that exists.
func (g *Graph) itemPointer(kind, id string) string {
	for _, s := range g.m.Sources {
		if _, ok := s.Items[id]; ok && s.Type == kind {
			return manifest.JoinPointer(s.Pointer, "urls", id)
		}
	}
	return ""
}

// sourceFile returns how the file with a checksum is fetched for a stage, as the
// sources of the manifest say it.
func (g *Graph) sourceFile(at place, checksum string) (download, error) {
	item, err := g.sourceItem(curlSource, checksum)
	if err != nil {
		return download{}, err
	}
	d, err := curlItem(item)
	if err != nil {
		return download{}, fmt.Errorf("the source %s: %w", checksum, err)
	}
	if d.client != nil {
		d.client.at, d.client.checksum = at, checksum
	}
	// BuildKit knows this kind of checksum only; steps verify the others.
	if hex, ok := strings.CutPrefix(checksum, "sha256:"); ok {
		d.sha256 = hex
	}
	return d, nil
}

// validSecrets is the form of the name of secrets.
var validSecrets = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// curlItem reads an item of the source org.osbuild.curl: a URL, or an object
// around it.
func curlItem(item json.RawMessage) (download, error) {
	var o struct {
		URL      string `json:"url"`
		Insecure bool   `json:"insecure"`
		Secrets  *struct {
			Name string `json:"name"`
		} `json:"secrets"`
	}
	if json.Unmarshal(item, &o.URL) != nil {
		if err := json.Unmarshal(item, &o); err != nil {
			return download{}, err
		}
	}
	if _, err := joinURL(o.URL, "."); err != nil {
		return download{}, err
	}
	d := download{url: o.URL}
	if !o.Insecure && o.Secrets == nil {
		return d, nil
	}
	if !strings.HasPrefix(o.URL, "https://") {
		return download{}, errors.New("\"insecure\" and \"secrets\" have a meaning for https addresses only")
	}
	name := ""
	if o.Secrets != nil {
		if name = o.Secrets.Name; !validSecrets.MatchString(name) {
			return download{}, fmt.Errorf("\"secrets\": %q is no \"name\" of secrets, such as \"org.osbuild.mtls\"", name)
		}
	}
	d.client = sourceClient(name, o.Insecure)
	return d, nil
}

// copyType returns the type of the source of an org.osbuild.copy.
func copyType(s *manifest.Stage) string {
	var o struct {
		Source struct {
			Type string `json:"type"`
		} `json:"source"`
	}
	_ = json.Unmarshal(s.Options, &o) // what has another shape was refused
	return o.Source.Type
}

// copySource returns the checksum of the archive of an org.osbuild.copy.
func copySource(s *manifest.Stage) (string, error) {
	var o struct {
		Source struct {
			Checksum string `json:"checksum"`
		} `json:"source"`
	}
	err := json.Unmarshal(s.Options, &o)
	return o.Source.Checksum, err
}

// copyInputs are those of org.osbuild.copy: the archive, or files of the context.
func (g *Graph) copyInputs(ctx context.Context, at place) (map[string]llb.State, error) {
	switch typ := copyType(at.stage); typ {
	case "archive":
	case contextname.Source:
		return g.contextInputs(ctx, at)
	default:
		return nil, nil
	}
	checksum, err := copySource(at.stage)
	if err != nil {
		return nil, err
	}
	d, err := g.sourceFile(at, checksum)
	if err != nil {
		return nil, err
	}
	_, d.name, _ = strings.Cut(checksum, ":")
	st, err := g.fetchSources(ctx, at.name("fetch"), []download{d}, g.constraints(at)...)
	return map[string]llb.State{"source": st}, err
}

// ostreeFetch returns the options of the step that fetches the commit of an
// org.osbuild.ostree.
func (g *Graph) ostreeFetch(s *manifest.Stage) (json.RawMessage, error) {
	var o struct {
		Commit string `json:"commit"`
	}
	if err := json.Unmarshal(s.Options, &o); err != nil {
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
	return json.Marshal(map[string]any{"commit": o.Commit, "remote": item.Remote})
}

// ostreeInputs are those of org.osbuild.ostree: a repository with the commit,
// which is fetched in a step that does not see the tree.
func (g *Graph) ostreeInputs(ctx context.Context, at place) (map[string]llb.State, error) {
	options, err := g.ostreeFetch(at.stage)
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

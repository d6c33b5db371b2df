package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/frontend/subrequests/convertllb"
	lintresult "github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/catalog"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// keyRequest is the option that names a subrequest.
const keyRequest = "requestid"

// requests are all subrequests that are answered.
func requests() []subrequests.Request {
	lint, convert := lintresult.SubrequestLintDefinition, convertllb.SubrequestConvertLLBDefinition
	lint.Description = "Check the manifest"
	convert.Description = "Convert the manifest to LLB"
	return []subrequests.Request{
		outline.SubrequestsOutlineDefinition, targets.SubrequestsTargetsDefinition, lint, convert,
		subrequests.SubrequestsDescribeDefinition,
	}
}

// describeRequests answers the question which subrequests there are. It needs
// no manifest, and dockerui's own answer leaves out some.
func describeRequests(c gwclient.Client) (*gwclient.Result, bool, error) {
	if c.BuildOpts().Opts[keyRequest] != subrequests.RequestSubrequestsDescribe {
		return nil, false, nil
	}
	data, err := json.MarshalIndent(requests(), "", "  ")
	if err != nil {
		return nil, true, err
	}
	var text bytes.Buffer
	if err := subrequests.PrintDescribe(data, &text); err != nil {
		return nil, true, err
	}
	res := gwclient.NewResult()
	res.AddMeta("result.json", data)
	res.AddMeta("result.txt", text.Bytes())
	res.AddMeta("version", []byte(subrequests.SubrequestsDescribeDefinition.Version))
	return res, true, nil
}

// handleRequest answers the other subrequests. The second result says that
// this is not a build.
func (b *build) handleRequest(ctx context.Context) (*gwclient.Result, bool, error) {
	res, ok, err := b.ui.HandleSubrequest(ctx, dockerui.RequestHandler{
		Outline: b.outline, ListTargets: b.targets, Lint: b.lintRequest, ConvertLLB: b.convertLLB,
	})
	if err != nil {
		err = b.locate(err)
	}
	return res, ok, err
}

// outline says what the target can be given. A manifest that lacks a required
// argument cannot be read further, and its arguments are just what is asked for.
func (b *build) outline(ctx context.Context) (*outline.Outline, error) {
	declared, err := manifest.ReadArgs(b.source.Filename, b.source.Data)
	if err != nil {
		return nil, err
	}
	missing := slices.ContainsFunc(declared, func(a *manifest.Arg) bool {
		_, given := b.ui.BuildArgs[a.Name]
		return a.Required() && !given
	})
	if missing {
		return &outline.Outline{Name: b.ui.Target, Args: b.outlineArgs(declared), Sources: [][]byte{b.source.Data}}, nil
	}
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	target, err := Target(b.m, b.ui.Target)
	if err != nil {
		return nil, err
	}
	o := &outline.Outline{Name: target, Description: b.m.Name, Args: b.outlineArgs(b.m.Args), Sources: [][]byte{b.source.Data}}
	for _, t := range Targets(b.m) {
		if t.Name == target && o.Description == "" {
			o.Description = t.Description
		}
	}
	o.Secrets = b.secrets(target)
	return o, nil
}

// outlineArgs lists the build arguments that have a meaning: those of every
// manifest, and those that this one declares.
func (b *build) outlineArgs(declared []*manifest.Arg) []outline.Arg {
	args := []outline.Arg{
		{Name: EpochArg, Description: "the time of the build in seconds since 1970", Value: b.ui.BuildArgs[EpochArg]},
		{Name: MirrorArg, Description: "the mirror of repositories for which the manifest names none", Value: b.ui.BuildArgs[MirrorArg]},
		{Name: SnapshotArg, Description: "the time of their state, such as 20261121T000000Z", Value: b.ui.BuildArgs[SnapshotArg]},
	}
	args = slices.DeleteFunc(args, func(a outline.Arg) bool {
		return slices.ContainsFunc(declared, func(d *manifest.Arg) bool { return d.Name == a.Name })
	})
	for _, d := range declared {
		value := d.Text()
		if given, ok := b.ui.BuildArgs[d.Name]; ok {
			value = given
		}
		args = append(args, outline.Arg{
			Name: d.Name, Description: d.Description, Value: value,
			Location: &pb.Location{Ranges: []*pb.Range{graph.Range(d.Span)}},
		})
	}
	return args
}

// secrets lists the secrets that the stages of a target name.
func (b *build) secrets(target string) []outline.Secret {
	var out []outline.Secret
	seen := map[string]bool{}
	for _, p := range needed(b.m, PipelineOf(target)) {
		for _, s := range p.Stages {
			for _, secret := range stageSecrets(s) {
				if seen[secret.Name] {
					continue
				}
				seen[secret.Name] = true
				span, ok := p.Text.Index.Value(manifest.JoinPointer(s.Pointer, "options") + secret.Pointer)
				out = append(out, outline.Secret{Name: secret.Name, Required: true, Location: b.location(p.Text, span, ok)})
			}
		}
	}
	for _, secret := range sourceSecrets(b.m) {
		span, ok := b.m.Index.Value(secret.Pointer)
		if text := (&manifest.Text{Index: b.m.Index}); !seen[secret.Name] {
			seen[secret.Name] = true
			out = append(out, outline.Secret{Name: secret.Name, Required: !secret.optional, Location: b.location(text, span, ok)})
		}
	}
	return out
}

// sourceSecret is a secret that the download of an item of the sources needs.
type sourceSecret struct {
	module.Secret
	optional bool
}

// sourceSecrets lists the secrets that items of the sources name; the pointers
// are those of the names in the manifest.
func sourceSecrets(m *manifest.Manifest) []sourceSecret {
	var out []sourceSecret
	for _, s := range m.Sources {
		for _, id := range slices.Sorted(maps.Keys(s.Items)) {
			var item struct {
				Secrets struct {
					Name string `json:"name"`
				} `json:"secrets"`
			}
			if json.Unmarshal(s.Items[id], &item) != nil || item.Secrets.Name == "" {
				continue
			}
			at := manifest.JoinPointer(s.Pointer, "urls", id, "secrets", "name")
			for _, end := range []string{".cert", ".key", ".ca"} {
				out = append(out, sourceSecret{module.Secret{Name: item.Secrets.Name + end, Pointer: at}, end == ".ca"})
			}
		}
	}
	return out
}

// stageSecrets lists the secrets that a stage names: those of its steps, and
// those that downloads need.
func stageSecrets(s *manifest.Stage) []module.Secret {
	var out []module.Secret
	if m := catalog.Builtin().Module(s.Kind, s.Type); m != nil && m.Secrets != nil {
		out = m.Secrets(s.Options)
	}
	var o struct {
		Auth  string `json:"auth"`
		Repos []struct {
			CA   string `json:"sslcacert"`
			Cert string `json:"sslclientcert"`
			Key  string `json:"sslclientkey"`
		} `json:"repos"`
	}
	if json.Unmarshal(s.Options, &o) != nil {
		return out
	}
	add := func(name string, at ...string) {
		if name != "" {
			out = append(out, module.Secret{Name: name, Pointer: manifest.JoinPointer("", at...)})
		}
	}
	switch s.Type {
	case packages.AptStage:
		add(o.Auth, "auth")
	case packages.DnfStage, packages.YumStage:
		for i, r := range o.Repos {
			n := strconv.Itoa(i)
			add(r.CA, "repos", n, "sslcacert")
			add(r.Cert, "repos", n, "sslclientcert")
			add(r.Key, "repos", n, "sslclientkey")
		}
	}
	return out
}

// needed lists the pipelines that a pipeline is built from, itself included,
// in the order of the manifest.
func needed(m *manifest.Manifest, name string) []*manifest.Pipeline {
	want := map[string]bool{name: true}
	var out []*manifest.Pipeline
	// Each pipeline comes after those it needs.
	for i := len(m.Pipelines) - 1; i >= 0; i-- {
		p := m.Pipelines[i]
		if !want[p.Name] {
			continue
		}
		want[p.Build] = true
		for _, s := range p.Stages {
			for _, in := range s.Inputs {
				for _, r := range in.References {
					want[r.ID] = true
				}
			}
		}
		out = append([]*manifest.Pipeline{p}, out...)
	}
	return out
}

// targets lists the targets.
func (b *build) targets(ctx context.Context) (*targets.List, error) {
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	list := &targets.List{Targets: []targets.Target{}, Sources: [][]byte{b.source.Data}}
	for _, t := range Targets(b.m) {
		span, ok := t.span()
		list.Targets = append(list.Targets, targets.Target{
			Name: t.Name, Default: t.Default, Description: t.Description, Base: t.Pipeline.Base,
			Location: b.location(t.Pipeline.Text, span, ok),
		})
	}
	return list, nil
}

// location is a place in the manifest, or nil for one in another file.
func (b *build) location(text *manifest.Text, span manifest.Span, ok bool) *pb.Location {
	if !ok || text.Index != b.m.Index {
		return nil
	}
	return &pb.Location{Ranges: []*pb.Range{graph.Range(span)}}
}

// lintRequest checks the manifest. That it is invalid is a result too.
func (b *build) lintRequest(ctx context.Context) (*lintresult.LintResults, error) {
	results := &lintresult.LintResults{Warnings: []lintresult.Warning{}}
	results.AddSource(b.source.SourceMap)
	var several manifest.Errors
	switch err := b.load(ctx); {
	case errors.As(err, &several):
		results.Error = b.buildError(several)
		return results, nil
	case err != nil:
		return nil, err
	}
	for _, f := range b.findings() {
		index := 0
		if f.Text.Index != b.m.Index {
			index = results.AddSource(&llb.SourceMap{Filename: f.File, Language: b.source.Language, Data: f.Text.Data})
		}
		results.Warnings = append(results.Warnings, lintresult.Warning{
			RuleName: f.Rule, Description: f.Detail, URL: f.URL, Detail: f.Message,
			Location: &pb.Location{SourceIndex: int32(index), Ranges: []*pb.Range{graph.Range(f.Span)}},
		})
	}
	return results, nil
}

// buildError puts all that is wrong into the one error that a result has. Its
// excerpt of the manifest would go from the first place to the last one, so
// that it shows the first one only.
func (b *build) buildError(several manifest.Errors) *lintresult.BuildError {
	e := &lintresult.BuildError{Message: several.Error()}
	for _, x := range several {
		if x.File == b.source.Filename {
			e.Location.Ranges = []*pb.Range{graph.Range(x.Span)}
			break
		}
	}
	return e
}

// convertLLB returns the graph of the target. The steps that find out what it
// consists of are run.
func (b *build) convertLLB(ctx context.Context) (*convertllb.Result, error) {
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	def, err := b.definition(ctx)
	if err != nil {
		return nil, err
	}
	res := &convertllb.Result{Def: make(map[digest.Digest]*pb.Op, len(def.Def)), Metadata: def.Metadata, Source: def.Source}
	for _, data := range def.Def {
		op := new(pb.Op)
		if err := op.UnmarshalVT(data); err != nil {
			return nil, err
		}
		res.Def[digest.FromBytes(data)] = op
	}
	return res, nil
}

// definition returns the graph of what the target gives, for the first
// platform that is asked for.
func (b *build) definition(ctx context.Context) (*llb.Definition, error) {
	target, err := b.target()
	if err != nil {
		return nil, err
	}
	var p *ocispecs.Platform
	if len(b.ui.TargetPlatforms) > 0 {
		p = &b.ui.TargetPlatforms[0]
	}
	g, err := b.graph(ctx, p)
	if err != nil {
		return nil, err
	}
	t, err := g.Pipeline(ctx, PipelineOf(target))
	if err != nil {
		return nil, err
	}
	st, err := b.resultState(ctx, g, target, t)
	if err != nil {
		return nil, err
	}
	return b.marshal(ctx, st)
}

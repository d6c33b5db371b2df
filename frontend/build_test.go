package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil/types"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// fake is a gateway that has one file for everyone and solves nothing else.
type fake struct {
	gwclient.Client
	manifest string
	opts     map[string]string
	caps     []*apicaps.PBCap
	solved   []*pb.Definition
	warned   []warning
	// missing are files that it does not have, and ignore the text of .dockerignore.
	missing []string
	ignore  string
	// refused is an error for what has this in its definition.
	refused string
}

// warning is one that the client would show.
type warning struct {
	text string
	gwclient.WarnOpts
}

func (f *fake) Warn(_ context.Context, _ digest.Digest, text string, opts gwclient.WarnOpts) error {
	f.warned = append(f.warned, warning{text, opts})
	return nil
}

func (f *fake) BuildOpts() gwclient.BuildOpts {
	return gwclient.BuildOpts{Opts: f.opts, LLBCaps: pb.Caps.CapSet(f.caps), Caps: gwpb.Caps.CapSet(gwpb.Caps.All()), SessionID: "session"}
}

func (f *fake) Solve(_ context.Context, req gwclient.SolveRequest) (*gwclient.Result, error) {
	f.solved = append(f.solved, req.Definition)
	if f.refused != "" && strings.Contains(definitionText(req.Definition), f.refused) {
		return nil, errors.New("no access allowed to dir \"context\"")
	}
	res := gwclient.NewResult()
	res.SetRef(&reference{f: f})
	return res, nil
}

func (f *fake) Inputs(context.Context) (map[string]llb.State, error) { return nil, nil }

type reference struct {
	gwclient.Reference
	f *fake
}

func (r *reference) ReadFile(_ context.Context, req gwclient.ReadRequest) ([]byte, error) {
	if strings.HasSuffix(req.Filename, ".dockerignore") && r.f.ignore != "" {
		return []byte(r.f.ignore), nil
	}
	if strings.HasSuffix(req.Filename, ".dockerignore") {
		return nil, errors.New("no such file")
	}
	return []byte(r.f.manifest), nil
}

func (r *reference) ReadDir(context.Context, gwclient.ReadDirRequest) ([]*types.Stat, error) {
	return nil, nil
}

func (r *reference) StatFile(_ context.Context, req gwclient.StatRequest) (*types.Stat, error) {
	if strings.HasSuffix(req.Path, ".dockerignore") && r.f.ignore == "" || slices.Contains(r.f.missing, req.Path) {
		return nil, errors.New("no such file")
	}
	return &types.Stat{Path: req.Path, Size: int64(len(r.f.manifest))}, nil
}

// definitionText is all that operations say.
func definitionText(def *pb.Definition) string {
	if def == nil {
		return ""
	}
	return string(bytes.Join(def.Def, nil))
}

// newFake returns the gateway of a daemon of today.
func newFake(text string) *fake {
	return &fake{manifest: text, opts: map[string]string{"filename": "image.json"}, caps: pb.Caps.All()}
}

func config() Config {
	return Config{Runner: func(context.Context, gwclient.Client, ocispecs.Platform) (llb.State, error) {
		return llb.Local("runners", llb.LocalUniqueID("runners")), nil
	}}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	f := newFake(`{"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}]}`)
	f.opts["build-arg:SOURCE_DATE_EPOCH"] = "1700000000"
	out, err := Build(t.Context(), f, config())
	if err != nil {
		t.Fatal(err)
	}
	if out.Target != manifest.TreePipeline || out.Manifest.TreeID() == "" {
		t.Errorf("target %q, tree %q", out.Target, out.Manifest.TreeID())
	}
	if got := string(out.Result.Metadata["source.date.epoch"]); got != "1700000000" {
		t.Errorf("epoch %q", got)
	}
	var img ocispecs.Image
	if err := json.Unmarshal(out.Result.Metadata["containerimage.config"], &img); err != nil || img.OS != "linux" || len(img.Config.Cmd) == 0 {
		t.Errorf("image config %+v, %v", img, err)
	}
	last := f.solved[len(f.solved)-1]
	var text strings.Builder
	for _, d := range last.Def {
		text.Write(d)
	}
	if !strings.Contains(text.String(), `"epoch":1700000000`) {
		t.Error("the epoch does not reach the step")
	}
}

// TestNetwork shows that what buildx makes of --network is for the steps that have the
// network, and that without it each has one of its own.
func TestNetwork(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]pb.NetMode{"": pb.NetMode_UNSET, "sandbox": pb.NetMode_UNSET, "host": pb.NetMode_HOST, "none": pb.NetMode_NONE} {
		f := newFake(`{"stages": [{"name": "org.osbuild.script", "options": {"script": "true", "network": true}}, {"name": "org.osbuild.script", "options": {"script": "true"}}]}`)
		f.opts["force-network-mode"] = mode
		if _, err := Build(t.Context(), f, config()); err != nil {
			t.Fatal(err)
		}
		got := map[pb.NetMode]int{}
		for _, data := range f.solved[len(f.solved)-1].Def {
			var op pb.Op
			if err := op.Unmarshal(data); err != nil {
				t.Fatal(err)
			}
			if e := op.GetExec(); e != nil {
				got[e.Network]++
			}
		}
		others := got[pb.NetMode_NONE]
		if want == pb.NetMode_NONE {
			others--
		}
		if got[want] == 0 || others == 0 || len(got) > 2 {
			t.Errorf("mode %q: the steps have %v, want one with %v and none else", mode, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	const good = `{"stages": [{"name": "org.osbuild.noop"}], "assembler": {"name": "org.osbuild.noop"}}`
	cases := []struct {
		name, text, want string
		opts             map[string]string
		old              bool
	}{
		{name: "old daemon", text: good, old: true, want: "this BuildKit is too old for trees of operating systems: version 0.13 or newer is needed"},
		{name: "target", text: good, opts: map[string]string{"target": "nowhere"}, want: `no target "nowhere" in image.json; there are: tree, assembler, containerdisk`},
		{name: "epoch", text: good, opts: map[string]string{"build-arg:SOURCE_DATE_EPOCH": "now"}, want: `SOURCE_DATE_EPOCH="now": give a number of seconds since 1970`},
		{name: "mirror", text: good, opts: map[string]string{"build-arg:OSBUILDKIT_MIRROR": "ftp://x"}, want: `OSBUILDKIT_MIRROR: mirror "ftp://x": give an http or https URL`},
		{name: "base", text: `{"base": "` + strings.Repeat("a", 64) + `"}`,
			want: `"base" in pipeline "tree": this way of building has no store of trees: build with osbuildkit on the machine that has it`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(c.text)
			for k, v := range c.opts {
				f.opts[k] = v
			}
			if c.old {
				f.caps = without(f.caps, pb.CapExecMountContentCache)
			}
			_, err := Build(t.Context(), f, config())
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func without(caps []*apicaps.PBCap, id apicaps.CapID) []*apicaps.PBCap {
	var out []*apicaps.PBCap
	for _, c := range caps {
		if apicaps.CapID(c.ID) != id {
			out = append(out, c)
		}
	}
	return out
}

// Errors carry their places in the form that BuildKit's clients print.
func TestErrorSources(t *testing.T) {
	t.Parallel()
	for text, line := range map[string]int32{
		"{\n\"stages\": [\n{\"name\": \"org.osbuild.hostnam\"}]}":                                      3,
		"{\"stages\": [\n\n{\"name\": \"org.osbuildkit.apt\", \"options\": {\"packages\": [\"a\"]}}]}": 3,
	} {
		_, err := Build(t.Context(), newFake(text), config())
		sources := errdefs.Sources(err)
		if len(sources) != 1 || sources[0].Info.Filename != "image.json" || sources[0].Ranges[0].Start.Line != line {
			t.Errorf("%v: sources %v", err, sources)
		}
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	both := &manifest.Manifest{Pipelines: []*manifest.Pipeline{{Name: "tree"}, {Name: "assembler"}}}
	tree := &manifest.Manifest{Pipelines: []*manifest.Pipeline{{Name: "tree"}}}
	for _, c := range []struct {
		m           *manifest.Manifest
		asked, want string
	}{{both, "", "assembler"}, {both, "tree", "tree"}, {tree, "", "tree"}} {
		if got, err := Target(c.m, c.asked); got != c.want || err != nil {
			t.Errorf("%q: %q, %v", c.asked, got, err)
		}
	}
	for _, c := range []struct{ kind, options, want string }{
		{"org.osbuild.qemu", `{"filename": "a.qcow2"}`, ""},
		{"org.osbuild.rawfs", `{"filename": "a.img"}`, ""},
		{"org.osbuild.noop", `{}`, ""},
		{"org.example.disk", `{"filename": "a.list"}`, ""},
		{"org.osbuild.tar", `{"filename": "a.tar"}`, "a.tar cannot be in a container disk"},
		{"org.osbuild.qemu", `{"filename": "a.vmdk"}`, "a.vmdk cannot be in a container disk"},
		{"org.osbuild.ostree.commit", `{"tar": {"filename": "c.tar"}}`, "c.tar cannot be in a container disk"},
	} {
		m := &manifest.Manifest{Pipelines: []*manifest.Pipeline{{Name: "assembler", Stages: []*manifest.Stage{{Type: c.kind, Options: []byte(c.options)}}}}}
		if _, err := Target(m, ContainerDiskTarget); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.kind, c.options, err, c.want)
		}
	}
}

package llb

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// programs is a set of user's modules, one of each kind of step, and one with
// the name of a built-in stage that the toolbox uses.
func programs(source llb.State) func(module.Kind, string) *Program {
	return func(kind module.Kind, name string) *Program {
		dir, sandbox, files, network, python := "stages/", module.Tools, "", false, false
		switch {
		case kind == module.Assembler && name == "org.example.zip":
			dir = "assemblers/"
		case kind == module.Stage && name == "org.example.motd":
			files = "stages/org.example.motd.d"
		case kind == module.Stage && name == "org.example.inside":
			sandbox = module.Inside
		case kind == module.Stage && name == "org.example.fetch":
			network = true
		case name == "org.example.python":
			python = true
		case kind == module.Stage && name == "org.osbuildkit.debootstrap":
		default:
			return nil
		}
		p := &Program{
			Module: module.Module{Name: name, Kind: kind, Sandbox: sandbox, Group: module.GroupPrograms},
			Source: source, Path: dir + name, Files: files, Python: python, Package: "osbuild",
		}
		if network {
			p.Module.Network = func(json.RawMessage) bool { return true }
		}
		return p
	}
}

const userManifest = `{
  "build": {"stages": [{"name": "org.osbuildkit.debootstrap"}]},
  "stages": [
    {"name": "org.example.motd", "options": {"text": "hello"}},
    {"name": "org.example.inside"},
    {"name": "org.osbuild.hostname", "options": {"hostname": "web"}}
  ],
  "assembler": {"name": "org.example.zip", "options": {"filename": "image.zip"}}
}`

// anyOptions knows every module, as the user's directory does in a build.
type anyOptions struct{ *catalog.Catalog }

func (anyOptions) Schema(module.Kind, string) ([]byte, bool) { return []byte("{}"), true }

func userGraph(t *testing.T, source llb.State) *llb.Definition {
	t.Helper()
	m, err := manifest.Load("image.json", []byte(userManifest), anyOptions{&catalog.Catalog{}})
	if err != nil {
		t.Fatal(err)
	}
	opt := options(t)
	opt.Program = programs(source)
	toolbox := llb.Image("example.com/toolbox")
	opt.Toolbox = &toolbox
	return define(t, m, opt, "assembler")
}

func TestUserProgramsGolden(t *testing.T) {
	t.Parallel()
	def := userGraph(t, llb.Local("context-libdir", llb.LocalUniqueID("libdir")))
	got := printDefinition(t, def)
	checkGolden(t, "programs", got)
	execs := map[string]bool{}
	checkExecs(t, def, execs)
	if len(execs) != 6 {
		t.Errorf("%d execs: %v", len(execs), execs)
	}
}

// The operation that brings a module is the same wherever it comes from, and
// each step sees its own module only.
func TestUserProgramsEnterByOneOperation(t *testing.T) {
	t.Parallel()
	copies := func(source llb.State) string {
		var out []string
		for _, op := range parse(t, userGraph(t, source)) {
			if f := op.op.GetFile(); f != nil && strings.HasPrefix(op.name, "[internal] module ") {
				out = append(out, f.String())
			}
		}
		if len(out) != 4 {
			t.Fatalf("%d modules", len(out))
		}
		return strings.Join(out, "\n")
	}
	if a, b := copies(llb.Local("libdir")), copies(llb.Image("example.com/modules")); a != b {
		t.Errorf("from a directory:\n%s\nfrom an image:\n%s", a, b)
	}
}

// The toolbox is built of the built-in modules, whatever the user's are called.
func TestUserProgramsDoNotReachTheToolbox(t *testing.T) {
	t.Parallel()
	opt := options(t)
	opt.Program = programs(llb.Local("libdir"))
	opt.ToolboxManifest = testManifest(t, `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "keyring": KEYRING}}]}`)
	st, err := New(&manifest.Manifest{}, opt).Toolbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	def, err := st.Marshal(t.Context(), llb.Platform(amd64))
	if err != nil {
		t.Fatal(err)
	}
	if text := printDefinition(t, def); strings.Contains(text, programDir) || !strings.Contains(text, "org.osbuildkit.debootstrap.unpack") {
		t.Error(text)
	}
}

// programTree defines the tree of a manifest with two stages.
func programTree(t *testing.T, first, second string, change ...func(*Options)) (*manifest.Manifest, *llb.Definition) {
	t.Helper()
	m, err := manifest.Load("image.json", []byte(`{"stages": [{"name": "`+first+`"}, {"name": "`+second+`"}]}`), anyOptions{&catalog.Catalog{}})
	if err != nil {
		t.Fatal(err)
	}
	opt := options(t)
	opt.Program = programs(llb.Local("libdir"))
	toolbox := llb.Image("example.com/toolbox")
	opt.Toolbox = &toolbox
	for _, c := range change {
		c(&opt)
	}
	return m, define(t, m, opt, "tree")
}

// Only the steps of a module that asks for it have access to the network.
func TestUserProgramWithNetwork(t *testing.T) {
	t.Parallel()
	for _, mode := range []pb.NetMode{pb.NetMode_UNSET, pb.NetMode_HOST, pb.NetMode_NONE} {
		_, def := programTree(t, "org.example.fetch", "org.example.motd", func(o *Options) { o.Network = mode })
		got := map[string]pb.NetMode{}
		for _, op := range parse(t, def) {
			if e := op.op.GetExec(); e != nil {
				got[op.name] = e.Network
			}
		}
		want := map[string]pb.NetMode{"[tree 1/2] org.example.fetch": mode, "[tree 2/2] org.example.motd": pb.NetMode_NONE}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

// A module that imports osbuild's package has it, with an id and a root that
// it may write to. It is in the key of no other module.
func TestPythonProgram(t *testing.T) {
	t.Parallel()
	m, def := programTree(t, "org.example.python", "org.example.motd")
	text := printDefinition(t, def)
	for _, op := range parse(t, def) {
		e := op.op.GetExec()
		if e == nil {
			continue
		}
		python := op.name == "[tree 1/2] org.example.python"
		readonly, lib := false, false
		for _, mount := range e.Mounts {
			readonly = readonly || mount.Dest == "/" && mount.Readonly
			lib = lib || mount.Dest == "/run/osbuild/lib" && mount.Readonly
		}
		if readonly == python || lib != python || slices.Contains(e.Meta.Args, "--python") != python {
			t.Errorf("%s: read-only root %t, package %t, %q", op.name, readonly, lib, e.Meta.Args)
		}
	}
	if n := strings.Count(text, `"id":"`+m.Pipeline("tree").Stages[0].ID+`"`); n != 1 {
		t.Errorf("the id is given %d times:\n%s", n, text)
	}
}

// A module is given the files of the manifest's sources that its stage names.
func TestProgramWithSources(t *testing.T) {
	t.Parallel()
	pipeline := func(sum, sources string) (*Graph, error) {
		m, err := manifest.Load("image.json", []byte(`{"pipeline": {"stages": [{"name": "org.osbuild.rpm", "options": {"packages": [{"checksum": "`+sum+
			`", "check_gpg": true}]}}]}, "sources": {`+sources+`}}`), anyOptions{&catalog.Catalog{}})
		if err != nil {
			t.Fatal(err)
		}
		opt := options(t)
		opt.Program = func(kind module.Kind, name string) *Program {
			return &Program{Module: module.Module{Name: name, Kind: kind, Sandbox: module.Tools, Group: module.GroupPrograms}, Source: llb.Local("libdir"), Path: "stages/" + name}
		}
		toolbox := llb.Image("example.com/toolbox")
		opt.Toolbox = &toolbox
		g := New(m, opt)
		_, err = g.Pipeline(t.Context(), "tree")
		return g, err
	}
	sum := "sha256:" + strings.Repeat("a", 64)
	g, err := pipeline(sum, `"org.osbuild.files": {"urls": {"`+sum+`": "https://example.com/a.rpm"}}`)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := g.Pipeline(t.Context(), "tree")
	if err != nil {
		t.Fatal(err)
	}
	def, err := tree.Root.Marshal(t.Context(), llb.Platform(amd64))
	if err != nil {
		t.Fatal(err)
	}
	text := printDefinition(t, def)
	for _, want := range []string{
		"https://example.com/a.rpm", "/run/osbuild/inputs/packages", "/" + sum,
		`"input_data":{"packages":{"files":{"` + sum + `":{"metadata":{"rpm.check_gpg":true}}}}}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the graph has no %s\n%s", want, text)
		}
	}
	weak := "sha1:" + strings.Repeat("a", 40)
	_, err = pipeline(weak, `"org.osbuild.files": {"urls": {"`+weak+`": "https://example.com/a.rpm"}}`)
	if err == nil || !strings.Contains(err.Error(), "only SHA-256 is verified") {
		t.Error(err)
	}
}

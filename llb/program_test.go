package llb

import (
	"encoding/json"
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
		dir, sandbox, files, network := "stages/", module.Tools, "", false
		switch {
		case kind == module.Assembler && name == "org.example.zip":
			dir = "assemblers/"
		case kind == module.Stage && name == "org.example.motd":
			files = "stages/org.example.motd.d"
		case kind == module.Stage && name == "org.example.inside":
			sandbox = module.Inside
		case kind == module.Stage && name == "org.example.fetch":
			network = true
		case kind == module.Stage && name == "org.osbuildkit.debootstrap":
		default:
			return nil
		}
		p := &Program{
			Module: module.Module{Name: name, Kind: kind, Sandbox: sandbox, Group: module.GroupPrograms},
			Source: source, Path: dir + name, Files: files,
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

// Only the steps of a module that asks for it have access to the network.
func TestUserProgramWithNetwork(t *testing.T) {
	t.Parallel()
	m, err := manifest.Load("image.json", []byte(`{"stages": [{"name": "org.example.fetch"}, {"name": "org.example.motd"}]}`), anyOptions{&catalog.Catalog{}})
	if err != nil {
		t.Fatal(err)
	}
	opt := options(t)
	opt.Program = programs(llb.Local("libdir"))
	toolbox := llb.Image("example.com/toolbox")
	opt.Toolbox = &toolbox
	got := map[string]pb.NetMode{}
	for _, op := range parse(t, define(t, m, opt, "tree")) {
		if e := op.op.GetExec(); e != nil {
			got[op.name] = e.Network
		}
	}
	want := map[string]pb.NetMode{"[tree 1/2] org.example.fetch": pb.NetMode_UNSET, "[tree 2/2] org.example.motd": pb.NetMode_NONE}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

package llb

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

var amd64 = ocispecs.Platform{OS: "linux", Architecture: "amd64"}

// answers is a Resolver that knows what the steps would have found out, and
// remembers what it was asked about.
type answers struct {
	files map[string][]byte
	asked []llb.State
}

// mu guards what suites that are asked for at once write together.
var mu sync.Mutex

func (a *answers) ReadFile(ctx context.Context, st llb.State, name string) ([]byte, error) {
	// The archive has one suite.
	urls, _, err := sources(ctx, st)
	for u := range urls {
		if strings.Contains(name, "Release") && !strings.Contains(u, "/dists/trixie/") || err != nil {
			return nil, errors.New("invalid response status 404")
		}
	}
	data, ok := a.files[name]
	if !ok {
		return nil, errors.New("no such file " + name)
	}
	mu.Lock()
	defer mu.Unlock()
	a.asked = append(a.asked, st)
	return data, nil
}

func (a *answers) Evaluate(context.Context, llb.State) error { return nil }

const packagesJSON = `{"packages": [
 {"name": "base-files", "version": "13.8", "architecture": "amd64", "repository": 0, "path": "pool/main/b/base-files/base-files_13.8_amd64.deb",
  "file": "base-files_13.8_amd64.deb", "size": 1, "sha256": "3333333333333333333333333333333333333333333333333333333333333333"},
 {"name": "login", "version": "1:4.16", "architecture": "amd64", "repository": 0, "path": "pool/main/u/util-linux/login_4.16_amd64.deb",
  "file": "login_1%3a4.16_amd64.deb", "size": 1, "sha256": "4444444444444444444444444444444444444444444444444444444444444444"}]}`

// options are those of a build on a machine that knows the test archive.
func options(t testing.TB) Options {
	t.Helper()
	inRelease, err := os.ReadFile("testdata/InRelease")
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Module:        catalog.Builtin().Module,
		Platform:      amd64,
		BuildPlatform: amd64,
		Runner: func(p ocispecs.Platform) (llb.State, error) {
			return llb.Local("runners-"+p.Architecture, llb.LocalUniqueID("runners")), nil
		},
		Resolver: &answers{files: map[string][]byte{"/InRelease": inRelease, "/packages.json": []byte(packagesJSON)}},
		Mirrors: func(suite string, _ *time.Time) []string {
			return debian.MirrorsOf("https://mirror.example/debian", suite)
		},
		Now: func() time.Time { return time.Date(2025, 9, 7, 0, 0, 0, 0, time.UTC) },
	}
}

// testManifest returns a manifest with the test archive's keys in it.
func testManifest(t testing.TB, text string) *manifest.Manifest {
	t.Helper()
	keys, err := os.ReadFile("testdata/keyring.asc")
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(string(keys))
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "KEYRING", string(quoted))
	m, err := manifest.Load("image.json", []byte(text), catalog.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const whole = `{
  "build": {"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "keyring": KEYRING}}]},
  "stages": [
    {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "keyring": KEYRING, "clean": false}},
    {"name": "org.osbuildkit.apt", "options": {"packages": ["nginx"]}},
    {"name": "org.osbuild.hostname", "options": {"hostname": "web"}},
    {"name": "org.osbuild.grub2", "options": {"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}}
  ],
  "assembler": {"name": "org.osbuild.qemu", "options": {"format": "qcow2", "filename": "web.qcow2", "ptuuid": "0x7e83a7ba",
    "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "size": 1073741824}}
}`

// define marshals the state of a pipeline.
func define(t testing.TB, m *manifest.Manifest, opt Options, pipeline string) *llb.Definition {
	t.Helper()
	sm := llb.NewSourceMap(nil, m.File, "JSON", m.Data)
	opt.SourceMap = sm
	tree, err := New(m, opt).Pipeline(t.Context(), pipeline)
	if err != nil {
		t.Fatal(err)
	}
	def, err := tree.Root.Marshal(t.Context(), llb.Platform(amd64))
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// withBase gives the builds a store of trees.
func withBase(o *Options) {
	o.Base = func(_ context.Context, id string, _ ocispecs.Platform) (*Stored, error) {
		return &Stored{ID: id, Epoch: DefaultEpoch, Root: llb.Local("base-"+id[:4], llb.LocalUniqueID("base"))}, nil
	}
}

// withContext gives the builds a context.
func withContext(o *Options) {
	o.Context = func(context.Context) (*llb.State, error) {
		st := llb.Local("context", llb.LocalUniqueID("context"))
		return &st, nil
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, pipeline, text string
		change               func(*Options)
	}{
		{name: "whole", pipeline: "assembler", text: whole},
		{name: "edit", pipeline: "tree", text: `{"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}, {"name": "org.osbuild.noop"}]}`},
		{name: "inside", pipeline: "tree", text: `{"base": "` + strings.Repeat("0", 64) + `", "stages": [
			{"name": "org.osbuild.script", "options": {"script": "true"}}, {"name": "org.osbuild.script", "options": {"script": "true", "network": true}}]}`,
			change: withBase},
		{name: "sources", pipeline: "tree", text: `{"pipeline": {
			"build": {"runner": "org.osbuild.linux", "pipeline": {"stages": [{"name": "org.osbuild.noop"}]}},
			"stages": [
				{"name": "org.osbuild.copy", "options": {"source": {"type": "archive", "checksum": "sha256:` + strings.Repeat("a", 64) + `"}}},
				{"name": "org.osbuild.copy", "options": {"source": {"type": "archive", "checksum": "md5:` + strings.Repeat("b", 32) + `"}}},
				{"name": "org.osbuild.ostree", "options": {"commit": "` + strings.Repeat("c", 64) + `", "osname": "x"}}]},
			"sources": {
				"org.osbuild.files": {"urls": {"sha256:` + strings.Repeat("a", 64) + `": "https://example.org/a", "md5:` + strings.Repeat("b", 32) + `": {"url": "https://example.org/b"}}},
				"org.osbuild.ostree": {"commits": {"` + strings.Repeat("c", 64) + `": {"remote": {"url": "https://example.org/repo"}}}}}}`},
		{name: "context", pipeline: "tree", change: withContext, text: `{"stages": [
			{"name": "org.osbuild.copy", "options": {"source": {"type": "context"}, "paths": [{"from": "/b", "to": "/srv"}, {"from": "/b/c"}, {"from": "/a/"}]}},
			{"name": "org.osbuild.copy", "options": {"source": {"type": "inline", "data": "x"}, "paths": [{"to": "/etc/motd"}]}}]}`},
		{name: "secrets", pipeline: "assembler", text: `{
			"stages": [{"name": "org.osbuild.users", "options": {"users": {"root": {"password_secret": "root-password"}}}}],
			"assembler": {"name": "org.osbuild.qemu", "options": {"format": "raw", "filename": "d", "size": 1073741824,
				"partitions": [{"luks": {"passphrase_secret": "disk-key", "pbkdf": {"iterations": 7}}, "filesystem": {"type": "ext4", "mountpoint": "/"}}]}}}`,
			change: withSecrets},
		{name: "empty", pipeline: "tree", text: `{"base": "` + strings.Repeat("0", 64) + `"}`, change: withBase},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			opt := options(t)
			if c.change != nil {
				c.change(&opt)
			}
			got := printDefinition(t, define(t, testManifest(t, c.text), opt, c.pipeline))
			checkGolden(t, c.name, got)
		})
	}
}

// The rules of DESIGN that keep caches right and builders safe, over every
// operation of a graph that has all kinds of step.
func TestEveryExec(t *testing.T) {
	t.Parallel()
	opt := options(t)
	defs := []*llb.Definition{define(t, testManifest(t, whole), opt, "assembler")}
	for _, st := range opt.Resolver.(*answers).asked {
		def, err := st.Marshal(t.Context(), llb.Platform(amd64))
		if err != nil {
			t.Fatal(err)
		}
		defs = append(defs, def)
	}
	execs := map[string]bool{}
	for _, def := range defs {
		checkExecs(t, def, execs)
	}
	if len(execs) < 13 {
		t.Errorf("only %d execs: the manifest no longer has all kinds of step", len(execs))
	}
}

func checkExecs(t *testing.T, def *llb.Definition, execs map[string]bool) {
	t.Helper()
	for _, op := range parse(t, def) {
		e := op.op.GetExec()
		if e == nil {
			continue
		}
		name := op.name
		execs[name] = true
		if e.Network != pb.NetMode_NONE {
			t.Errorf("%s: network %v", name, e.Network)
		}
		if e.Security != pb.SecurityMode_SANDBOX {
			t.Errorf("%s: security %v", name, e.Security)
		}
		if len(e.Meta.Env) > 1 || len(e.Meta.Env) == 1 && !strings.HasPrefix(e.Meta.Env[0], "PATH=") {
			t.Errorf("%s: environment %q", name, e.Meta.Env)
		}
		if e.Meta.Hostname != "localhost" {
			t.Errorf("%s: host name %q", name, e.Meta.Hostname)
		}
		if len(e.CdiDevices) > 0 || len(e.Secretenv) > 0 {
			t.Errorf("%s: devices or secrets", name)
		}
		for _, m := range e.Mounts {
			if m.MountType == pb.MountType_BIND && m.Dest != "/" && m.ContentCache != pb.MountContentCache_OFF {
				t.Errorf("%s: the mount %s is cached by a hash that does not see all of a tree", name, m.Dest)
			}
		}
		if len(def.Source.Locations[op.digest.String()].GetLocations()) == 0 {
			t.Errorf("%s: no place in the manifest", name)
		}
	}
}

func TestDeterminism(t *testing.T) {
	t.Parallel()
	shuffled := `{"$schema": "x", "syntax": "y", "name": "another name",
	"assembler": {"options": {"size": 1073741824, "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac",
	"ptuuid": "0x7e83a7ba", "filename": "web.qcow2", "format": "qcow2"}, "name": "org.osbuild.qemu"},
	"stages": [ {"options": {"clean": false, "keyring": KEYRING, "suite": "trixie"}, "name": "org.osbuildkit.debootstrap"},
	{"options": {"packages": [ "nginx" ]}, "name": "org.osbuildkit.apt"}, {"options": {"hostname": "\u0077eb"}, "name": "org.osbuild.hostname"},
	{"options": {"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}, "name": "org.osbuild.grub2"} ],
	"build": {"stages": [{"options": {"keyring": KEYRING, "suite": "trixie"}, "name": "org.osbuildkit.debootstrap"}]}}`
	a := head(t, define(t, testManifest(t, whole), options(t), "assembler"))
	for range 3 {
		if b := head(t, define(t, testManifest(t, shuffled), options(t), "assembler")); a != b {
			t.Fatalf("the same manifest in another form gives %s, not %s", b, a)
		}
	}
}

// A package that is meant for another architecture leaves no trace.
func TestPackageOfAnotherArchitecture(t *testing.T) {
	t.Parallel()
	with := func(packages string) string {
		return head(t, define(t, testManifest(t, strings.Replace(whole, `["nginx"]`, packages, 1)), options(t), "assembler")).String()
	}
	plain, most := with(`["nginx"]`), with(`["nginx [!arm64]", "grub-efi-arm64-bin [arm64]"]`)
	if plain != most {
		t.Error("a package for arm64 changes what is built for amd64")
	}
	if plain == with(`["nginx", "grub-pc-bin [amd64]"]`) {
		t.Error("a package for amd64 is left out")
	}
}

// A change in stage n changes the steps from n on and no other.
func TestChangeInOneStage(t *testing.T) {
	t.Parallel()
	execs := func(text string) map[string]string {
		out := map[string]string{}
		for _, op := range parse(t, define(t, testManifest(t, text), options(t), "assembler")) {
			if op.op.GetExec() != nil {
				out[op.name] = op.digest.String()
			}
		}
		return out
	}
	before, after := execs(whole), execs(strings.Replace(whole, `"web"}`, `"www"}`, 1))
	for name, digest := range before {
		later := strings.HasPrefix(name, "[tree 3/4]") || strings.HasPrefix(name, "[tree 4/4]") || strings.HasPrefix(name, "[assembler")
		if changed := after[name] != digest; changed != later {
			t.Errorf("%s: changed is %v, want %v", name, changed, later)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	boot := `{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "keyring": KEYRING}}`
	cases := []struct {
		name, text, pipeline, want string
		change                     func(*Options)
	}{
		{"no repository", `{"stages": [{"name": "org.osbuildkit.apt", "options": {"packages": ["a"]}}]}`, "tree",
			`org.osbuildkit.apt in pipeline "tree": "repos" is needed here, as no org.osbuildkit.debootstrap stage before it in this pipeline names a repository`, nil},
		{"no store", `{"base": "` + strings.Repeat("a", 64) + `"}`, "tree",
			`"base" in pipeline "tree": this way of building has no store of trees: build with osbuildkit on the machine that has it`, nil},
		{"no toolbox", `{"stages": [{"name": "org.osbuild.grub2", "options": {"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}}]}`, "tree",
			`org.osbuild.grub2 in pipeline "tree": a build root is needed, and there is no toolbox: give one with --toolbox or the named context "toolbox"`, nil},
		{"bad mirror", `{"stages": [` + boot + `]}`, "tree",
			`org.osbuildkit.debootstrap in pipeline "tree": repository "trixie": mirror "ftp://x/": give an http or https URL`,
			func(o *Options) { o.Mirrors = func(string, *time.Time) []string { return []string{"ftp://x/"} } }},
		{"no pipeline", `{}`, "nowhere", `no pipeline "nowhere" in image.json`, nil},
		{"repository number", `{"stages": [` + boot + `]}`, "tree",
			`org.osbuildkit.debootstrap in pipeline "tree": the package list names repository 7 of 1`,
			func(o *Options) {
				o.Resolver.(*answers).files["/packages.json"] = []byte(strings.ReplaceAll(packagesJSON, `"repository": 0`, `"repository": 7`))
			}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			opt := options(t)
			if c.change != nil {
				c.change(&opt)
			}
			_, err := New(testManifest(t, c.text), opt).Pipeline(t.Context(), c.pipeline)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// The runner enters the graph by the same operation on every route, so that
// all routes share one cache.
func TestRunnerOperationIsTheSame(t *testing.T) {
	t.Parallel()
	file := func(src llb.State) string {
		opt := options(t)
		opt.Runner = func(ocispecs.Platform) (llb.State, error) { return src, nil }
		g := New(&manifest.Manifest{}, opt)
		st, err := g.runner("stages")
		if err != nil {
			t.Fatal(err)
		}
		def, err := st.Marshal(t.Context(), llb.Platform(amd64))
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range parse(t, def) {
			if f := op.op.GetFile(); f != nil {
				return f.String()
			}
		}
		t.Fatal("no file operation")
		return ""
	}
	if a, b := file(llb.Local("runners")), file(llb.Image("example.com/frontend")); a != b {
		t.Errorf("from a directory:\n%s\nfrom an image:\n%s", a, b)
	}
}

package frontend

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/catalog"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// plain builds without a package and has two pipelines.
const plain = `{"args": {"host": {"type": "string", "default": "a"}},
"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": {"$arg": "host"}}}], "assembler": {"name": "org.osbuild.noop"}}`

const anySum = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// Options that name nothing are errors where they can be for this build only, and
// warnings where bake may have given them to several.
func TestUselessOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		opts   map[string]string
		strict bool
		err    string
		warned []string
	}{
		{name: "pipeline", opts: map[string]string{"no-cache": "tre"}, err: `no-cache: no pipeline "tre" in image.json; did you mean "tree"?`},
		{name: "pipelines", opts: map[string]string{"no-cache": "tree,bogus,x"},
			err: "no-cache: no pipeline \"bogus\" in image.json; there are: tree, assembler, toolbox\nno pipeline \"x\" in image.json; there are: tree, assembler, toolbox"},
		{name: "known pipelines", opts: map[string]string{"no-cache": "TREE,assembler"}},
		{name: "all pipelines", opts: map[string]string{"no-cache": ""}},
		{name: "unused toolbox", opts: map[string]string{"no-cache": "toolbox"},
			err: `no-cache: the target "assembler" is not built from the pipeline "toolbox", so no step of it runs; it is built from: tree, assembler`},
		{name: "pipeline of another target", opts: map[string]string{"no-cache": "assembler", "target": "tree"},
			err: `no-cache: the target "tree" is not built from the pipeline "assembler", so no step of it runs; it is built from: tree`},
		{name: "replaced toolbox", opts: map[string]string{"no-cache": "toolbox", "context:toolbox::linux/amd64": "http://x"},
			err: `no-cache: no pipeline "toolbox" in image.json; there are: tree, assembler`},
		{name: "target", opts: map[string]string{"target": "asembler"}, err: `no target "asembler" in image.json; did you mean "assembler"?`},
		{name: "architecture", opts: map[string]string{"platform": "linux/foo"}, err: `no image can be built for the platform linux/foo: there is no architecture "foo"; there are: ` + strings.Join(architectures, ", ")},
		{name: "system", opts: map[string]string{"platform": "windows/amd64"}, err: `no image can be built for the platform windows/amd64: osbuildkit builds Linux systems; write linux/amd64`},
		{name: "platforms", opts: map[string]string{"platform": "linux/arm64"}},
		{name: "argument of nobody", opts: map[string]string{"build-arg:OSBUILDKIT_MIROR": "x"}, err: `there is no build argument "OSBUILDKIT_MIROR"; did you mean "OSBUILDKIT_MIRROR"?`},
		{name: "argument by buildx", opts: map[string]string{"build-arg:hots": "x", "build-arg:BUILDKIT_NEW": "1"},
			warned: []string{`the build argument "hots" is not declared and has no effect; did you mean "host"?`}},
		{name: "argument", strict: true, opts: map[string]string{"build-arg:hots": "x", "build-arg:BUILDKIT_SYNTX": "1"},
			err: "image.json:1:2: the build argument \"hots\" is not declared and has no effect; did you mean \"host\"?\n" +
				`image.json:1:2: BuildKit has no build argument "BUILDKIT_SYNTX"; did you mean "BUILDKIT_SYNTAX"?`},
		{name: "contexts by buildx", opts: map[string]string{"context:toolbx": "docker-image://x", "context:base": "http://x", "context:" + anySum: "http://x", "context:sha256:1": "http://x",
			"source": "docker.io/osbuildkit/frontend", "context:osbuildkit/frontend": "docker-image://x"},
			warned: []string{`the named context "base" is not used: the manifest has no "base"`,
				`the named context "sha256:1" is no checksum: write sha256: and 64 hex digits in lower case`,
				`the named context "toolbx" has no meaning; did you mean "toolbox"?`,
				`the named context "` + anySum + `" is not used: no file with this checksum is downloaded`}},
		{name: "context", strict: true, opts: map[string]string{"context:other": "docker-image://x"},
			err: `the named context "other" has no meaning; there are: toolbox, build-env, base, keys, libdir, sha256:HEX`},
		{name: "checksum", strict: true, opts: map[string]string{"context:" + anySum: "http://x"}, err: `the named context "` + anySum + `" is not used: no file with this checksum is downloaded`},
		{name: "checksum for several platforms", strict: true, opts: map[string]string{"platform": "linux/amd64,linux/arm64", "context:" + anySum: "http://x"},
			err: `the named context "` + anySum + `" is not used: no file with this checksum is downloaded`},
		{name: "rule by buildx", opts: map[string]string{"build-arg:BUILDKIT_DOCKERFILE_CHECK": "skip=JSONArgsRecommended"},
			warned: []string{`BUILDKIT_DOCKERFILE_CHECK: no rule "JSONArgsRecommended"; 'osbuildkit check --rules' lists them`}},
		{name: "rule", strict: true, opts: map[string]string{"build-arg:BUILDKIT_DOCKERFILE_CHECK": "skip=UnusedBuildx"},
			err: `BUILDKIT_DOCKERFILE_CHECK: no rule "UnusedBuildx"; did you mean "UnusedBuild"?`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(plain)
			for k, v := range c.opts {
				f.opts[k] = v
			}
			cfg := config()
			cfg.Strict = c.strict
			_, err := Build(t.Context(), f, cfg)
			var got string
			if err != nil {
				got = err.Error()
			}
			if got != c.err {
				t.Errorf("got  %s\nwant %s", got, c.err)
			}
			var warned []string
			for _, w := range f.warned {
				warned = append(warned, w.text)
			}
			if d := cmp.Diff(c.warned, warned); d != "" && c.err == "" {
				t.Error(d)
			}
			// The manifest was read, and nothing that would be built.
			for _, def := range f.solved {
				if err != nil && steps(t, def) > 0 && !strings.Contains(c.err, "no file with this checksum") {
					t.Error("steps were solved although the options are wrong")
				}
			}
		})
	}
}

// localState is a directory of the client that names no session.
func localState(name string) llb.State { return llb.Local(name) }

func localRunner(ocispecs.Platform) (llb.State, error) { return localState("runners"), nil }

// steps counts the execs of a definition.
func steps(t *testing.T, def *pb.Definition) int {
	t.Helper()
	n := 0
	for _, data := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(data); err != nil {
			t.Fatal(err)
		}
		if op.GetExec() != nil {
			n++
		}
	}
	return n
}

// The line "# check=" of a manifest configures a build as the build argument does.
func TestCheckDirective(t *testing.T) {
	t.Parallel()
	for before, want := range map[string]string{
		"# check=skip=LoginWithoutPassword\n":                  "",
		"// check=error=true\n":                                `2 warnings, and the line "# check=" makes warnings errors: LoginWithoutPassword`,
		"# syntax=x\n# check=skip=LoginWithoutPasswort\n":      `image.json:2:1: no rule "LoginWithoutPasswort"; did you mean "LoginWithoutPassword"?`,
		"# check=skip=all\n# check=skip=all\n":                 `image.json:2:1: there is more than one line "# check="; write it as one, such as # check=skip=A,B;error=true`,
		"# check=error=maybe\n":                                `image.json:1:1: failed to parse check option "error=maybe": strconv.ParseBool: parsing "maybe": invalid syntax; write skip=RULE,… or error=true, or both with ";" between them`,
		"# check=skip=all;experimental=LoginWithoutPassword\n": "",
	} {
		f := newFake(before + open)
		_, err := Build(t.Context(), f, config())
		var got string
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q\ngot  %s\nwant %s", before, got, want)
		}
		if strings.HasPrefix(want, "image.json:") && len(errdefs.Sources(err)) != 1 {
			t.Errorf("%q: the error has no place", before)
		}
		if want == "" && len(f.warned) > 0 {
			t.Errorf("%q: warnings %v", before, f.warned)
		}
	}
	f := newFake("# check=error=true\n" + open)
	f.opts["build-arg:BUILDKIT_DOCKERFILE_CHECK"] = "skip=all"
	if _, err := Build(t.Context(), f, config()); err != nil {
		t.Errorf("the build argument does not count: %v", err)
	}
}

// What the graph would refuse is found with everything else, before it.
func TestGraphIsChecked(t *testing.T) {
	t.Parallel()
	f := newFake(`{"stages": [{"name": "org.osbuildkit.apt", "options": {"packages": ["a"]}},
{"name": "org.osbuildkit.apt", "options": {"packages": ["b"]}}]}`)
	_, err := Build(t.Context(), f, config())
	var lines []int32
	for _, s := range errdefs.Sources(err) {
		lines = append(lines, s.Ranges[0].Start.Line)
	}
	if slices.Sort(lines); !slices.Equal(lines, []int32{1, 2}) {
		t.Errorf("%v: lines %v", err, lines)
	}
}

// A definition says whatever is made of what runs again, and has one id for the
// client's files, however often it is made.
func TestMarshal(t *testing.T) {
	t.Parallel()
	f := newFake(strings.Replace(plain, `{"name": "org.osbuild.noop"}`, `{"name": "org.osbuild.tar", "options": {"filename": "a.tar"}}`, 1))
	b := &build{client: f, catalog: catalog.Builtin()}
	m, err := manifest.Load("image.json", []byte(f.manifest), catalog.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	g := graph.New(m, graph.Options{
		Module: catalog.Builtin().Module, Runner: localRunner,
		NoCache: func(name string) bool { return name == "tree" },
	})
	tree, err := g.Pipeline(t.Context(), "assembler")
	if err != nil {
		t.Fatal(err)
	}
	one, err := b.marshal(t.Context(), tree.Root)
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.marshal(t.Context(), localState("runners"))
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for _, meta := range one.Metadata {
		if meta.IgnoreCache {
			again++
		}
	}
	if again != 2 {
		t.Errorf("%d operations run again, want the stage and the assembler", again)
	}
	if !slices.ContainsFunc(one.Def, func(data []byte) bool { return slices.Equal(data, two.Def[0]) }) {
		t.Error("a directory of the client is another operation in each definition")
	}
}

// Secrets that downloads of sources need are in the outline too.
func TestSourceSecrets(t *testing.T) {
	t.Parallel()
	text := `{"pipeline": {"stages": [{"name": "org.osbuild.copy", "options": {"source": {"type": "archive", "checksum": "` + anySum + `"}}}]},
"sources": {"org.osbuild.curl": {"urls": {"` + anySum + `": {"url": "https://a/b", "secrets": {"name": "org.osbuild.mtls"}}}}}}`
	var o outline.Outline
	ask(t, newFake(text), "frontend.outline", &o)
	var got []string
	for _, s := range o.Secrets {
		got = append(got, fmt.Sprintf("%s %v %d", s.Name, s.Required, line(s.Location)))
	}
	if d := cmp.Diff([]string{"org.osbuild.mtls.cert true 2", "org.osbuild.mtls.key true 2", "org.osbuild.mtls.ca false 2"}, got); d != "" {
		t.Error(d)
	}
	m, err := manifest.Load("image.json", []byte(text), catalog.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckSecrets(m, []string{"org.osbuild.mtls.cert", "org.osbuild.mtls.ca", "HTTP_AUTH_TOKEN_x"}); err != nil {
		t.Error(err)
	}
	if err := CheckSecrets(m, []string{"org.osbuild.mtls"}); err == nil {
		t.Error("a secret that nothing names is taken")
	}
}

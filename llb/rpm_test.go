package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// network is a Resolver that stands for a BuildKit with these files behind its
// addresses.
type network struct {
	files map[string]string
	// decision is what the solve step finds out.
	decision string
	// hangs are addresses that never answer.
	hangs []string
	// breaks says how often the connection to an address breaks.
	breaks map[string]int
	// secrets are the ids of those that were given with the build.
	secrets []string
	mu      sync.Mutex
}

// sources lists what a state downloads, and whether it has steps.
func sources(ctx context.Context, st llb.State) (urls map[string]string, steps bool, err error) {
	def, err := st.Marshal(ctx, llb.Platform(amd64))
	if err != nil {
		return nil, false, err
	}
	urls = map[string]string{}
	for _, d := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(d); err != nil {
			return nil, false, err
		}
		steps = steps || op.GetExec() != nil && !isClient(op.GetExec())
		if o := clientFetch(&op); o != nil {
			urls[o.URL] = o.Checksum
		}
		if s := op.GetSource(); s != nil && strings.HasPrefix(s.Identifier, "http") {
			urls[s.Identifier] = s.Attrs[pb.AttrHTTPChecksum]
		}
	}
	return urls, steps, nil
}

// isClient says whether a step downloads a file by the build's secrets.
func isClient(e *pb.ExecOp) bool {
	return slices.ContainsFunc(e.Mounts, func(m *pb.Mount) bool { return m.MountType == pb.MountType_SECRET })
}

// clientFetch returns the options of a step that downloads a file, where the
// operation is the description of one.
func clientFetch(op *pb.Op) *packages.FetchOptions {
	for _, a := range op.GetFile().GetActions() {
		var c struct {
			Options packages.FetchOptions `json:"options"`
			Network bool                  `json:"network"`
		}
		if m := a.GetMkfile(); m != nil && json.Unmarshal(m.Data, &c) == nil && c.Network && c.Options.URL != "" {
			return &c.Options
		}
	}
	return nil
}

// missing returns what BuildKit says of secrets that were not given.
func (n *network) missing(ctx context.Context, st llb.State) error {
	def, err := st.Marshal(ctx, llb.Platform(amd64))
	if err != nil {
		return err
	}
	for _, d := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(d); err != nil {
			return err
		}
		for _, m := range op.GetExec().GetMounts() {
			if s := m.SecretOpt; s != nil && !s.Optional && !slices.Contains(n.secrets, s.ID) {
				return fmt.Errorf("failed to solve: secret %s: not found", s.ID)
			}
		}
	}
	return nil
}

func (n *network) get(ctx context.Context, url, sum string) (string, error) {
	for _, h := range n.hangs {
		if strings.HasPrefix(url, h) {
			<-ctx.Done()
			return "", ctx.Err()
		}
	}
	n.mu.Lock()
	n.breaks[url]--
	broken := n.breaks[url] >= 0
	n.mu.Unlock()
	if broken {
		return "", errors.New("connection reset by peer")
	}
	data, ok := n.files[url]
	if sum != "" && data != anything {
		// BuildKit takes whatever page it gets for the file.
		if got := rpmmd.RepomdChecksum([]byte(data)); got != sum {
			return "", fmt.Errorf("digest mismatch %s: %s", got, sum)
		}
	}
	if !ok {
		return "", errors.New("invalid response status 404")
	}
	return data, nil
}

func (n *network) Evaluate(ctx context.Context, st llb.State) error {
	urls, steps, err := sources(ctx, st)
	if err := errors.Join(err, n.missing(ctx, st)); err != nil || steps {
		return err
	}
	for u, sum := range urls {
		if _, err := n.get(ctx, u, sum); err != nil {
			return err
		}
	}
	return nil
}

func (n *network) ReadFile(ctx context.Context, st llb.State, name string) ([]byte, error) {
	urls, steps, err := sources(ctx, st)
	if err := errors.Join(err, n.missing(ctx, st)); err != nil {
		return nil, err
	}
	if strings.HasSuffix(name, packages.ReportSuffix) {
		return nil, nil // the download went well
	}
	if steps && name == "/built" {
		return []byte("1700000000"), nil
	}
	if steps && name == "/"+packages.CheckedFile {
		return n.check(ctx, st)
	}
	if steps {
		return []byte(n.decision), nil
	}
	for u, sum := range urls {
		data, err := n.get(ctx, u, sum)
		return []byte(data), err
	}
	return nil, errors.New("no source")
}

// anything is a file with whatever checksum is asked for.
const anything = "anything"

// rpmFile reads a file of the test data of package rpmmd.
func rpmFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../rpmmd/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// serve puts the test repository behind an address.
func (n *network) serve(t testing.TB, base string, without ...string) {
	t.Helper()
	entries, err := os.ReadDir("../rpmmd/testdata/repodata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n.files[base+"/repodata/"+e.Name()] = rpmFile(t, "repodata/"+e.Name())
	}
	repomd, err := rpmmd.ParseRepomd([]byte(n.files[base+"/repodata/repomd.xml"]))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range repomd.Data {
		if _, ok := n.files[base+"/"+d.Location]; !ok {
			n.files[base+"/"+d.Location] = anything
		}
	}
	n.files[base+"/Packages/a.rpm"] = "package a"
	n.files[base+"/Packages/b.rpm"] = "package b"
	for _, w := range without {
		delete(n.files, base+w)
	}
}

func metalinkFor(t testing.TB, urls ...string) string {
	t.Helper()
	data := rpmFile(t, "repodata/repomd.xml")
	var b strings.Builder
	fmt.Fprintf(&b, `<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="repomd.xml"><size>%d</size><verification><hash type="sha256">%s</hash></verification><resources>`,
		len(data), strings.TrimPrefix(rpmmd.RepomdChecksum([]byte(data)), "sha256:"))
	for i, u := range urls {
		fmt.Fprintf(&b, `<url protocol="http" preference="%d">%s/repodata/repomd.xml</url>`, 100-i, u)
	}
	b.WriteString(`</resources></file></files></metalink>`)
	return b.String()
}

// rpmOptions are those of a build whose only mirrors are the network's.
func rpmOptions(t testing.TB, n *network) Options {
	t.Helper()
	opt := options(t)
	opt.Resolver = n
	box := llb.Local("toolbox", llb.LocalUniqueID("toolbox"))
	opt.Toolbox = &box
	return opt
}

func newNetwork() *network {
	return &network{
		files: map[string]string{}, breaks: map[string]int{},
		decision: fmt.Sprintf(`{"packages": [
 {"name": "a", "version": "1", "release": "1", "arch": "noarch", "repository": 0, "location": "Packages/a.rpm", "file": "a-1-1.noarch.rpm", "size": 9, "sha256": %q},
 {"name": "b", "version": "1", "release": "1", "arch": "noarch", "repository": 0, "location": "Packages/b.rpm", "file": "b-1-1.noarch.rpm", "size": 9, "sha256": %q}]}`,
			strings.TrimPrefix(rpmmd.RepomdChecksum([]byte("package a")), "sha256:"), strings.TrimPrefix(rpmmd.RepomdChecksum([]byte("package b")), "sha256:")),
	}
}

// dnfManifest returns a manifest whose one stage has the options; KEY, PIN and
// BADPIN stand for values of the test repository.
func dnfManifest(t testing.TB, repo, more string) *manifest.Manifest {
	t.Helper()
	key, err := json.Marshal(rpmFile(t, "rsa.asc") + "\n" + rpmFile(t, "ed25519.asc"))
	if err != nil {
		t.Fatal(err)
	}
	text := `{"stages": [{"name": "org.osbuild.dnf", "options": {"releasever": "9", "basearch": "x86_64", "packages": ["a"], "repos": [{"gpgkey": KEY, ` + repo + `}]` + more + `}}]}`
	text = strings.NewReplacer("KEY", string(key), "BADPIN", `"sha256:`+strings.Repeat("0", 64)+`"`,
		"PIN", `"`+rpmmd.RepomdChecksum([]byte(rpmFile(t, "repodata/repomd.xml")))+`"`).Replace(text)
	m, err := manifest.Load("image.json", []byte(text), catalog.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDnfGolden(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	n.serve(t, "http://m.example/9/x86_64")
	opt := rpmOptions(t, n)
	m := dnfManifest(t, `"baseurl": "http://m.example/$releasever/$basearch/", "checksum": PIN`, "")
	got := printDefinition(t, define(t, m, opt, "tree"))
	checkGolden(t, "dnf", got)
	execs := map[string]bool{}
	checkExecs(t, define(t, m, opt, "tree"), execs)
	if len(execs) != 4 {
		t.Errorf("steps: %v", execs)
	}
}

// taken lists the hosts that files come from, by the ends of their names.
func taken(t *testing.T, def *llb.Definition) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, d := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(d); err != nil {
			t.Fatal(err)
		}
		if s := op.GetSource(); s != nil && strings.HasPrefix(s.Identifier, "http") {
			out[filepath.Base(s.Identifier)] = strings.Split(s.Identifier, "/")[2]
		}
	}
	return out
}

func TestDnfMirrors(t *testing.T) {
	t.Parallel()
	const list = `"metalink": "http://list/metalink?$releasever"`
	cases := []struct {
		name, repo, more string
		prepare          func(n *network)
		a, b             string // the mirrors of the two packages
		err              string
	}{
		{name: "first mirror is gone", repo: list, a: "two", b: "two", prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://one", "http://two")
			n.serve(t, "http://two")
		}},
		{name: "first mirror is out of date", repo: list, a: "two", b: "two", prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://one", "http://two")
			n.serve(t, "http://one")
			n.serve(t, "http://two")
			n.files["http://one/repodata/repomd.xml"] = "<repomd>old</repomd>"
		}},
		{name: "first mirror has not all metadata", repo: list, a: "two", b: "two", prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://one", "http://two")
			n.serve(t, "http://one", "/repodata/primary.xml.gz")
			n.serve(t, "http://two")
		}},
		{name: "gone in the middle", repo: list, a: "one", b: "two", prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://one", "http://two")
			n.serve(t, "http://one", "/Packages/b.rpm")
			n.serve(t, "http://two")
		}},
		{name: "each has one", repo: list, a: "two", b: "one", prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://one", "http://two")
			n.serve(t, "http://one", "/Packages/a.rpm")
			n.serve(t, "http://two", "/Packages/b.rpm")
		}},
		{name: "a connection breaks", repo: `"baseurl": "http://one"`, a: "one", b: "one", prepare: func(n *network) {
			n.serve(t, "http://one")
			n.breaks["http://one/Packages/a.rpm"] = 1
		}},
		{name: "connections break again and again", repo: `"baseurl": "http://one"`, prepare: func(n *network) {
			n.serve(t, "http://one")
			n.breaks["http://one/Packages/a.rpm"] = 2
		}, err: "a.rpm: http://one/Packages/a.rpm: connection reset by peer"},
		{name: "hangs", repo: list, more: `, "timeout": 1`, a: "two", b: "two", prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://one", "http://two")
			n.serve(t, "http://two")
			n.hangs = []string{"http://one"}
		}},
		{name: "hangs in the middle", repo: list, more: `, "timeout": 1`, a: "two", b: "two", prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://one", "http://two")
			n.serve(t, "http://one")
			n.serve(t, "http://two")
			n.hangs = []string{"http://one/Packages"}
		}},
		{name: "mirror list", repo: `"mirrorlist": "http://list/mirrors", "repo_gpgcheck": true`, a: "two", b: "two", prepare: func(n *network) {
			n.files["http://list/mirrors"] = "# comment\nhttp://one/\nhttp://two/\n"
			n.serve(t, "http://one", "/repodata/repomd.xml.asc")
			n.serve(t, "http://two")
		}},
		{name: "base address first", repo: `"baseurl": "http://zero http://one", ` + list, a: "one", b: "one", prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://two")
			n.serve(t, "http://one")
			n.serve(t, "http://two")
		}},
		{name: "wrong checksum", repo: `"baseurl": "http://one", "checksum": BADPIN`, prepare: func(n *network) { n.serve(t, "http://one") },
			err: `repository repo0: http://one: repomd.xml is not the one that the option "checksum" names: it is sha256:`},
		{name: "metalink without the pinned state", repo: `"checksum": BADPIN, ` + list, prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://one")
		}, err: `the metalink does not know the state of the repository that "checksum" names`},
		{name: "no metalink", repo: list, prepare: func(*network) {}, err: "repository repo0: the metalink http://list/metalink?9: invalid response status 404"},
		{name: "not there", repo: `"baseurl": "http://one http://two", "checksum": PIN`, prepare: func(*network) {},
			err: "none of 2 mirrors has the repository:\n  http://one: invalid response status 404\n  http://two: invalid response status 404"},
		{name: "not signed", repo: `"baseurl": "http://one", "repo_gpgcheck": true`, prepare: func(n *network) { n.serve(t, "http://one", "/repodata/repomd.xml.asc") },
			err: "the signature repomd.xml.asc: invalid response status 404"},
		{name: "signed by somebody else", repo: `"baseurl": "http://one", "repo_gpgcheck": true`, prepare: func(n *network) {
			n.serve(t, "http://one")
			n.files["http://one/repodata/repomd.xml"] += " "
		}, err: "repomd.xml: "},
		{name: "package nowhere", repo: list, prepare: func(n *network) {
			n.files["http://list/metalink?9"] = metalinkFor(t, "http://one", "http://two")
			n.serve(t, "http://one", "/Packages/b.rpm")
			n.serve(t, "http://two", "/Packages/b.rpm")
		}, err: "none of 2 mirrors has b.rpm:\n  http://one/Packages/b.rpm: digest mismatch"},
		{name: "never answers", repo: `"baseurl": "http://one"`, more: `, "timeout": 1`, prepare: func(n *network) { n.hangs = []string{"http://one"} },
			err: `repository repo0: http://one: no answer within 1s; the option "timeout" sets how long one may take`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork()
			c.prepare(n)
			m := dnfManifest(t, c.repo, c.more)
			tree, err := New(m, rpmOptions(t, n)).Pipeline(t.Context(), "tree")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got  %v\nwant %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			def, err := tree.Root.Marshal(t.Context(), llb.Platform(amd64))
			if err != nil {
				t.Fatal(err)
			}
			from := taken(t, def)
			if from["a.rpm"] != c.a || from["b.rpm"] != c.b {
				t.Errorf("packages come from %v, want a from %s and b from %s", from, c.a, c.b)
			}
			if len(tree.RPMLists) != 1 || len(tree.RPMLists[0].Packages) != 2 {
				t.Errorf("lists %v", tree.RPMLists)
			}
		})
	}
}

// A key that the manifest names by its fingerprint may come with the build, and
// is then in the step as if the manifest had it.
func TestKeysOfTheBuild(t *testing.T) {
	t.Parallel()
	text := rpmFile(t, "rsa.asc")
	keys, err := rpmmd.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	load := func(gpgkey, more string) *manifest.Manifest {
		value, err := json.Marshal(gpgkey)
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Load("image.json", []byte(`{"stages": [{"name": "org.osbuild.dnf", "options": {"releasever": "9", "basearch": "x86_64", "packages": ["a"],
			"repos": [{"baseurl": "http://one", "gpgkey": `+string(value)+`}]`+more+`}}]}`), catalog.Builtin())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	n := newNetwork()
	n.serve(t, "http://one")
	with := func(texts ...string) Options {
		opt := rpmOptions(t, n)
		if len(texts) > 0 {
			opt.Keys = func(context.Context) ([]string, error) { return texts, nil }
		}
		return opt
	}
	want := head(t, define(t, load(text, ""), with(), "tree"))
	if got := head(t, define(t, load(keys.Fingerprints()[0], ""), with(rpmFile(t, "ed25519.asc"), text), "tree")); got != want {
		t.Error("a key that comes with the build makes another step")
	}
	for name, opt := range map[string]Options{"no keys": with(), "other keys": with(rpmFile(t, "ed25519.asc"))} {
		_, err := New(load(keys.Fingerprints()[0], ""), opt).Pipeline(t.Context(), "tree")
		if err == nil || !strings.Contains(err.Error(), "repository repo0: gpgkey: there is no key "+keys.Fingerprints()[0]) || !strings.HasSuffix(err.Error(), "--build-context keys=DIRECTORY, with a file that has it") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Another mirror with the same files changes no step.
func TestMirrorIsInNoKey(t *testing.T) {
	t.Parallel()
	execs := func(base string) map[string]string {
		n := newNetwork()
		n.serve(t, base)
		out := map[string]string{}
		for _, op := range parse(t, define(t, dnfManifest(t, `"baseurl": "`+base+`", "checksum": PIN`, ""), rpmOptions(t, n), "tree")) {
			if e := op.op.GetExec(); e != nil {
				out[op.name] = e.String()
			}
		}
		return out
	}
	if d := cmp.Diff(execs("http://one"), execs("http://two/mirror")); d != "" {
		t.Error(d)
	}
}

func TestRPMFiles(t *testing.T) {
	t.Parallel()
	sum, sum512 := "sha256:"+strings.Repeat("a", 64), "sha512:"+strings.Repeat("b", 128)
	stage := `"stages": [{"name": "org.osbuild.rpm", "options": {"packages": ["` + sum + `", "` + sum512 + `"]}}]`
	cases := []struct{ name, text, err string }{
		{"works", `{"sources": {"org.osbuild.curl": {"urls": {"` + sum + `": "http://one/a.rpm", "` + sum512 + `": {"url": "http://one/b.rpm"}}}}, "pipeline": {` + stage + `}}`, ""},
		{"form without sources", `{` + stage + `}`, "this form of manifest has no sources"},
		{"secrets over http", `{"sources": {"org.osbuild.curl": {"urls": {"` + sum + `": {"url": "http://one/a.rpm", "secrets": {"name": "org.osbuild.rhsm"}}, "` + sum512 + `": "http://one/b.rpm"}}}, "pipeline": {` + stage + `}}`,
			`"insecure" and "secrets" have a meaning for https addresses only`},
		{"file", `{"sources": {"org.osbuild.curl": {"urls": {"` + sum + `": "file:///a.rpm", "` + sum512 + `": "http://one/b.rpm"}}}, "pipeline": {` + stage + `}}`, "give an http or https URL"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := manifest.Load("image.json", []byte(c.text), catalog.Builtin())
			if err != nil {
				t.Fatal(err)
			}
			tree, err := New(m, rpmOptions(t, newNetwork())).Pipeline(t.Context(), "tree")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got  %v\nwant %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tree.Epoch != 1700000000 || len(tree.RPMLists) != 1 {
				t.Errorf("epoch %d, lists %v", tree.Epoch, tree.RPMLists)
			}
			urls, _, err := sources(t.Context(), tree.Root)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := urls["http://one/a.rpm"]; !ok || got != sum {
				t.Errorf("the first file is fetched with the checksum %q", got)
			}
			if got, ok := urls["http://one/b.rpm"]; !ok || got != "" {
				t.Errorf("the second file is fetched with the checksum %q, which BuildKit does not know", got)
			}
		})
	}
}

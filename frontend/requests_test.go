package frontend

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	rules "github.com/osbuildkit/osbuildkit/lint"
)

// sample has each kind of pipeline, two secrets and one finding.
const sample = `{
  "name": "Web server",
  "build": {
    "stages": [
      { "name": "org.osbuildkit.apt", "options": { "packages": ["a"], "auth": "build-token",
        "repos": [ { "suite": "trixie", "checksum": "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef" } ] } }
    ]
  },
  "stages": [
    { "name": "org.osbuildkit.apt", "options": { "packages": ["a"],
      "auth": "token", "repos": [ { "suite": "sid" } ] } },
    { "name": "org.osbuild.hostname", "options": { "hostname": "a" } }
  ],
  "assembler": {
    "name": "org.osbuild.qemu", "options": { "format": "qcow2", "filename": "disk.qcow2", "size": 2147483648,
      "ptuuid": "0x7e83a7ba", "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac" }
  }
}`

// ask sends a subrequest and decodes its result.
func ask(t *testing.T, f *fake, id string, into any) *gwclient.Result {
	t.Helper()
	f.opts["requestid"] = id
	out, err := Build(t.Context(), f, config())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Result.Metadata["result.json"], into); err != nil {
		t.Fatal(err)
	}
	if len(out.Result.Metadata["version"]) == 0 || out.Result.Ref != nil {
		t.Errorf("version %q, reference %v", out.Result.Metadata["version"], out.Result.Ref)
	}
	return out.Result
}

// line is the line of a location, or 0.
func line(l *pb.Location) int32 {
	if l == nil {
		return 0
	}
	return l.Ranges[0].Start.Line
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	f := newFake("no manifest is read")
	var all []subrequests.Request
	res := ask(t, f, "frontend.subrequests.describe", &all)
	var got []string
	for _, r := range all {
		got = append(got, r.Name)
		if !strings.Contains(string(res.Metadata["result.txt"]), r.Description) || strings.Contains(r.Description, "Dockerfile") {
			t.Errorf("%s: %q\n%s", r.Name, r.Description, res.Metadata["result.txt"])
		}
	}
	want := []string{"frontend.outline", "frontend.targets", "frontend.lint", "frontend.convertllb", "frontend.subrequests.describe"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(f.solved) > 0 {
		t.Errorf("%d things were solved", len(f.solved))
	}
	// All that is described is answered, and nothing else.
	for _, name := range want {
		f := newFake(`{"stages": [{"name": "org.osbuild.noop"}]}`)
		ask(t, f, name, new(any))
	}
	f = newFake(sample)
	f.opts["requestid"] = "frontend.nonsense"
	if _, err := Build(t.Context(), f, config()); err == nil || !strings.Contains(err.Error(), "frontend.nonsense") {
		t.Errorf("an unknown subrequest: %v", err)
	}
}

// The outline of a manifest tells its build arguments, above all when one of
// them is missing.
func TestOutlineArguments(t *testing.T) {
	t.Parallel()
	const text = `{"args": {
  "host": {"type": "string", "description": "its name"},
  "SOURCE_DATE_EPOCH": {"type": "integer", "default": 1600000000}},
 "stages": [{"name": "org.osbuild.hostname", "options": {"hostname": {"$arg": "host"}}}]}`
	for given, name := range map[string]string{"": "", "web": "tree"} {
		f := newFake(text)
		if given != "" {
			f.opts["build-arg:host"] = given
		}
		var o outline.Outline
		ask(t, f, "frontend.outline", &o)
		var got []string
		for _, a := range o.Args {
			got = append(got, fmt.Sprint(a.Name, "=", a.Value, " ", line(a.Location), " ", a.Description))
		}
		want := []string{"OSBUILDKIT_MIRROR= 0 the mirror of repositories for which the manifest names none", "OSBUILDKIT_SNAPSHOT= 0 the time of their state, such as 20261121T000000Z", "host=" + given + " 2 its name", "SOURCE_DATE_EPOCH=1600000000 3 "}
		if d := cmp.Diff(want, got); d != "" || o.Name != name {
			t.Errorf("%q: name %q\n%s", given, o.Name, d)
		}
	}
}

func TestOutline(t *testing.T) {
	t.Parallel()
	cases := []struct {
		target  string
		name    string
		secrets []string
	}{
		{"", "assembler", []string{"build-token 5", "token 11"}},
		{"containerdisk", "containerdisk", []string{"build-token 5", "token 11"}},
		{"build", "build", []string{"build-token 5"}},
	}
	for _, c := range cases {
		f := newFake(sample)
		f.opts["target"], f.opts["build-arg:SOURCE_DATE_EPOCH"] = c.target, "1700000000"
		var o outline.Outline
		res := ask(t, f, "frontend.outline", &o)
		var secrets []string
		for _, s := range o.Secrets {
			secrets = append(secrets, fmt.Sprint(s.Name, " ", line(s.Location)))
			if !s.Required {
				t.Errorf("%s is not required", s.Name)
			}
		}
		if d := cmp.Diff(c.secrets, secrets); d != "" || o.Name != c.name || o.Description != "Web server" {
			t.Errorf("%q: %q %q\n%s", c.target, o.Name, o.Description, d)
		}
		if len(o.Args) != 3 || o.Args[0].Name != EpochArg || o.Args[0].Value != "1700000000" || o.Args[1].Name != MirrorArg || o.Args[2].Name != SnapshotArg {
			t.Errorf("arguments %+v", o.Args)
		}
		if len(o.Sources) != 1 || string(o.Sources[0]) != sample || !strings.Contains(string(res.Metadata["result.txt"]), MirrorArg) {
			t.Errorf("sources %q\n%s", o.Sources, res.Metadata["result.txt"])
		}
	}
	f := newFake(`{"stages": [{"name": "org.osbuild.noop"}]}`)
	var o outline.Outline
	ask(t, f, "frontend.outline", &o)
	if o.Description != "the tree of the operating system, 1 stage" || len(o.Secrets) > 0 {
		t.Errorf("%+v", o)
	}
}

// Certificates of a repository are secrets of the build.
func TestOutlineCertificates(t *testing.T) {
	t.Parallel()
	f := newFake(`{"stages": [
	  {"name": "org.osbuild.yum", "options": {"releasever": "9", "packages": ["a"], "repos": [
	    {"baseurl": "https://a.example", "gpgcheck": false},
	    {"baseurl": "https://b.example", "gpgcheck": false,
	     "sslcacert": "ca",
	     "sslclientcert": "cert",
	     "sslclientkey": "key"}]}},
	  {"name": "org.osbuild.dnf", "options": {"releasever": "9", "packages": ["a"], "repos": [
	    {"baseurl": "https://b.example", "gpgcheck": false, "sslclientcert": "cert"}]}}]}`)
	var o outline.Outline
	ask(t, f, "frontend.outline", &o)
	var got []string
	for _, s := range o.Secrets {
		got = append(got, fmt.Sprint(s.Name, " ", line(s.Location)))
	}
	if d := cmp.Diff([]string{"ca 5", "cert 6", "key 7"}, got); d != "" {
		t.Error(d)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	f := newFake(sample)
	var list targets.List
	res := ask(t, f, "frontend.targets", &list)
	var got []string
	for _, x := range list.Targets {
		got = append(got, fmt.Sprintf("%s %v %d %s", x.Name, x.Default, line(x.Location), x.Description))
		f := newFake(sample)
		f.opts["target"] = x.Name
		ask(t, f, "frontend.outline", new(outline.Outline)) // knows it
	}
	want := []string{
		"build false 4 the build root of tree, 1 stage",
		"tree false 9 the tree of the operating system, 2 stages",
		"assembler true 15 disk.qcow2, made by org.osbuild.qemu",
		"containerdisk false 15 a container image with the disk, for KubeVirt",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !strings.Contains(string(res.Metadata["result.txt"]), "assembler (default)") || len(list.Sources) != 1 {
		t.Errorf("%s", res.Metadata["result.txt"])
	}
	for text, want := range map[string]string{
		`{}`: "", `{"stages": [{"name": "org.osbuild.noop"}]}`: "tree (default)",
		`{"assembler": {"name": "org.osbuild.noop"}}`: "assembler (default) containerdisk",
		`{"base": "` + strings.Repeat("a", 64) + `"}`: "tree (default)",
	} {
		var list targets.List
		ask(t, newFake(text), "frontend.targets", &list)
		var got []string
		for _, x := range list.Targets {
			if got = append(got, x.Name); x.Default {
				got = append(got, "(default)")
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text, check, status string
		want                      []string
		failure                   string
	}{
		{name: "finding", text: sample, status: "1", want: []string{"UnpinnedRepository 11"}},
		{name: "skipped", text: sample, check: "skip=UnpinnedRepository", status: "0"},
		{name: "all skipped", text: sample, check: "skip=all;error=true", status: "0"},
		{name: "error does not matter", text: sample, check: "error=true", status: "1", want: []string{"UnpinnedRepository 11"}},
		{name: "invalid", text: "{\n\"stages\": [\n{\"name\": \"org.osbuild.hostnam\"}],\n\"assembler\": 3}", status: "1",
			failure: "3 image.json:3:10: unknown stage \"org.osbuild.hostnam\" (at /stages/0/name); did you mean \"org.osbuild.hostname\"?\n" +
				"image.json:4:14: the assembler must be an object, found a number (at /assembler)"},
		{name: "no JSON", text: "{", status: "1", failure: "1 image.json:1:2: expected a key"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(c.text)
			if c.check != "" {
				f.opts["build-arg:BUILDKIT_DOCKERFILE_CHECK"] = c.check
			}
			var results lint.LintResults
			res := ask(t, f, "frontend.lint", &results)
			var got []string
			for _, w := range results.Warnings {
				got = append(got, fmt.Sprint(w.RuleName, " ", line(w.Location)))
				if r := rules.Find(w.RuleName); w.URL != r.URL() || w.Description != r.Summary || w.Detail == "" {
					t.Errorf("%+v", w)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			var failure string
			if e := results.Error; e != nil {
				failure = fmt.Sprint(line(&e.Location), " ", e.Message)
			}
			if !strings.HasPrefix(failure, c.failure) || c.failure == "" && failure != "" {
				t.Errorf("got  %s\nwant %s", failure, c.failure)
			}
			if got := string(res.Metadata["result.statuscode"]); got != c.status {
				t.Errorf("status %s", got)
			}
			if len(results.Sources) != 1 || string(results.Sources[0].Data) != c.text || results.Sources[0].Filename != "image.json" {
				t.Errorf("sources %v", results.Sources)
			}
			if len(f.warned) > 0 {
				t.Errorf("warnings beside the result: %+v", f.warned)
			}
		})
	}
}

func TestConvertLLB(t *testing.T) {
	t.Parallel()
	const text = `{"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}, {"name": "org.osbuild.noop"}]}`
	f := newFake(text)
	var result struct {
		Def    map[string]json.RawMessage
		Source struct{ Locations map[string]any }
	}
	ask(t, f, "frontend.convertllb", &result)
	asked := len(f.solved) // reading the manifest

	b := newFake(text)
	if _, err := Build(t.Context(), b, config()); err != nil {
		t.Fatal(err)
	}
	built := b.solved[len(b.solved)-1]
	if len(b.solved) != asked+1 {
		t.Errorf("%d things solved for the graph, %d for the build", asked, len(b.solved))
	}
	if len(result.Def) != len(built.Def) || len(result.Def) < 3 || len(result.Source.Locations) == 0 {
		t.Errorf("%d operations, the build has %d; %d have a place", len(result.Def), len(built.Def), len(result.Source.Locations))
	}
	f = newFake(`{}`)
	f.opts["requestid"] = "frontend.convertllb"
	if _, err := Build(t.Context(), f, config()); err == nil {
		t.Error("a manifest that builds nothing has a graph")
	}
}

// What is wrong with a manifest fails all requests but lint, with its place.
func TestRequestErrors(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"frontend.outline", "frontend.targets", "frontend.convertllb"} {
		f := newFake("{\n\n\"stagess\": []}")
		f.opts["requestid"] = id
		_, err := Build(t.Context(), f, config())
		if sources := errdefs.Sources(err); len(sources) != 1 || sources[0].Ranges[0].Start.Line != 3 {
			t.Errorf("%s: %v %v", id, err, sources)
		}
	}
	f := newFake(sample)
	f.opts["requestid"], f.opts["target"] = "frontend.outline", "nowhere"
	if _, err := Build(t.Context(), f, config()); err == nil || !strings.Contains(err.Error(), `no target "nowhere"`) {
		t.Errorf("%v", err)
	}
}

func TestOutlineSecretsOfAssemblers(t *testing.T) {
	t.Parallel()
	f := newFake(`{"stages": [{"name": "org.osbuild.noop"}], "assembler": {"name": "org.osbuild.qemu", "options": {"format": "raw", "filename": "d", "size": 1073741824, "partitions": [
 {"filesystem": {"type": "ext4", "mountpoint": "/"}, "size": 200000},
 {"luks": {"passphrase_secret": "disk-key"}, "filesystem": {"type": "ext4", "mountpoint": "/home"}}]}}}`)
	var o outline.Outline
	ask(t, f, "frontend.outline", &o)
	if len(o.Secrets) != 1 || o.Secrets[0].Name != "disk-key" || line(o.Secrets[0].Location) != 3 {
		t.Errorf("%+v", o.Secrets)
	}
}

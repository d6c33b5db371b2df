package llb

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// What the graph of a manifest refuses whatever is given with the build is found
// before there is a graph.
func TestCheck(t *testing.T) {
	t.Parallel()
	sum, sum512, commit := "sha256:"+strings.Repeat("a", 64), "sha512:"+strings.Repeat("b", 128), strings.Repeat("c", 64)
	apt := `{"name": "org.osbuildkit.apt", "options": {"packages": ["a"]}}`
	repo := `{"name": "org.osbuildkit.apt", "options": {"packages": ["a"], "repos": [{"suite": "trixie"}]}}`
	boot := `{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}}`
	rpm := func(sums string) string {
		return `{"name": "org.osbuild.rpm", "options": {"packages": [` + sums + `]}}`
	}
	v1 := func(stage, sources string) string {
		return `{"pipeline": {"stages": [` + stage + `]}, "sources": {` + sources + `}}`
	}
	curl := func(item string) string { return `"org.osbuild.curl": {"urls": {"` + sum + `": ` + item + `}}` }
	copying := `{"name": "org.osbuild.copy", "options": {"source": {"type": "archive", "checksum": "` + sum + `"}}}`
	ostree := `{"name": "org.osbuild.ostree", "options": {"commit": "` + commit + `", "osname": "x"}}`
	own := func(_ module.Kind, name string) bool {
		return name == "org.osbuild.ostree" || name == "org.osbuild.rpm"
	}
	for _, c := range []struct {
		name, text string
		own        func(module.Kind, string) bool
		want       []string
	}{
		{name: "repositories", text: `{"build": {"stages": [` + boot + `, ` + apt + `]}, "stages": [` + repo + `, ` + apt + `]}`},
		{name: "no repositories", text: `{"build": {"stages": [` + boot + `]}, "stages": [` + apt + `,
 ` + repo + `, ` + apt + `]}`, want: []string{`/stages/0 "repos" is needed here, as no org.osbuildkit.debootstrap stage before it in this pipeline names a repository`}},
		{name: "a system first", text: `{"stages": [{"name": "org.osbuild.noop"}, ` + boot + `]}`},
		{name: "two systems", text: `{"stages": [` + boot + `, {"name": "org.osbuild.noop"}, ` + boot + `]}`,
			want: []string{`/stages/2 a system is made in an empty tree only, and the stage org.osbuildkit.debootstrap comes before: make this the first stage of the pipeline`}},
		{name: "a system in a stored tree", text: `{"base": "` + strings.Repeat("a", 64) + `", "stages": [` + boot + `]}`,
			want: []string{`/stages/0 a system is made in an empty tree only, and the pipeline goes on from a stored one: leave out this stage, or "base"`}},
		{name: "a keymap that Debian's console does not know", text: `{"stages": [{"name": "org.osbuild.keymap", "options": {"keymap": "mac-us"}}, ` + boot + `,
 {"name": "org.osbuild.keymap", "options": {"keymap": "de-latin1"}}, {"name": "org.osbuild.keymap", "options": {"keymap": "mac-us", "x11-keymap": {"layouts": ["us(mac)"]}}},
 {"name": "org.osbuild.keymap", "options": {"keymap": "br-abtn2"}}, {"name": "org.osbuild.keymap", "options": {"keymap": "trqq"}}]}`,
			want: []string{`/stages/1 a system is made in an empty tree only, and the stage org.osbuild.keymap comes before: make this the first stage of the pipeline`,
				`/stages/5/options/keymap nothing says which keyboard the keymap "trqq" is for, and Debian's console asks for that: ` +
					`name its layout in "x11-keymap" as well, such as {"layouts": ["us(intl)"]}; did you mean trq?`}},
		{name: "base", text: `{"base": "` + strings.Repeat("0", 64) + `", "stages": [` + apt + `]}`,
			want: []string{`/stages/0 "repos" is needed here, as no org.osbuildkit.debootstrap stage before it in this pipeline names a repository`}},
		{name: "mirrors", text: `{"stages": [` + strings.Replace(boot, `"trixie"`, `"trixie", "mirror": "https:///a"`, 1) + `, ` +
			strings.Replace(repo, `"trixie"`, `"trixie", "mirror": "http:///a"`, 1) + `]}`,
			want: []string{`/stages/0/options/mirror mirror "https:///a": give an http or https URL`, `/stages/1/options/repos/0/mirror mirror "http:///a": give an http or https URL`}},
		{name: "sources", text: v1(copying+`, `+rpm(`"`+sum+`"`)+`, `+ostree, curl(`{"url": "https://a/b", "secrets": {"name": "x"}}`)+`, "org.osbuild.ostree": {"commits": {"`+commit+`": {"remote": {"url": "https://a/b"}}}}`)},
		{name: "form without sources", text: `{"stages": [` + copying + `, ` + rpm(`"`+sum+`", {"checksum": "`+sum512+`"}`) + `, ` + ostree + `]}`, want: []string{
			`/stages/0/options/source/checksum nothing says where ` + sum + ` is: this form of manifest has no sources; put it into "pipeline" and add "sources"`,
			`/stages/1/options/packages/0 nothing says where ` + sum + ` is: this form of manifest has no sources; put it into "pipeline" and add "sources"`,
			`/stages/1/options/packages/1 nothing says where ` + sum512 + ` is: this form of manifest has no sources; put it into "pipeline" and add "sources"`,
			`/stages/2/options/commit nothing says where ` + commit + ` is: this form of manifest has no sources; put it into "pipeline" and add "sources"`,
		}},
		{name: "source of another kind", text: v1(copying, `"org.osbuild.librepo": {"items": {"`+sum+`": {"path": "a"}}}`),
			want: []string{`/pipeline/stages/0/options/source/checksum no source of kind org.osbuild.curl has ` + sum}},
		{name: "address", text: v1(copying, curl(`"ftp://a/b"`)), want: []string{`/sources/org.osbuild.curl/urls/` + sum + ` the source ` + sum + `: mirror "ftp://a/b": give an http or https URL`}},
		{name: "secrets over http", text: v1(copying, curl(`{"url": "http://a/b", "insecure": true}`)),
			want: []string{`/sources/org.osbuild.curl/urls/` + sum + ` the source ` + sum + `: "insecure" and "secrets" have a meaning for https addresses only`}},
		{name: "name of secrets", text: v1(copying, curl(`{"url": "https://a/b", "secrets": {"name": "a b"}}`)),
			want: []string{`/sources/org.osbuild.curl/urls/` + sum + ` the source ` + sum + `: "secrets": "a b" is no "name" of secrets, such as "org.osbuild.mtls"`}},
		{name: "no remote", text: v1(ostree, `"org.osbuild.ostree": {"commits": {"`+commit+`": {}}}`),
			want: []string{`/pipeline/stages/0/options/commit the source of the commit has no "remote"`}},
		{name: "modules of the user", own: own, text: v1(ostree+`, `+rpm(`"`+sum512+`"`), `"org.osbuild.ostree": {"commits": {"`+commit+`": {}}}, "org.osbuild.curl": {"urls": {"`+sum512+`": "https://a/b"}}`),
			want: []string{
				`/pipeline/stages/0 it reads the input "commits" of type org.osbuild.ostree, which modules of your own are not given yet`,
				`/pipeline/stages/1 the source ` + sum512 + `: for modules of your own only SHA-256 is verified`,
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := manifest.Load("image.json", []byte(c.text), catalog.Builtin())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range Check(m, c.own) {
				got = append(got, fmt.Sprintf("%s %s", e.Pointer, e.Message))
				if e.Position.Line == 0 || e.File != "image.json" {
					t.Errorf("it has no place: %v", e)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

package stages

import (
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestHostname(t *testing.T) {
	t.Parallel()
	file := treetest.File
	runCases(t, "org.osbuild.hostname", []treeCase{
		{name: "new", options: `{"hostname": "web1"}`, after: treetest.Tree{"etc/hostname": file("web1\n")}},
		{name: "no etc", before: treetest.Tree{"usr": treetest.Dir(0o755)}, options: `{"hostname": "a.b-c.d"}`,
			after: treetest.Tree{"etc/hostname": file("a.b-c.d\n")}},
		{name: "existing keeps its mode", before: treetest.Tree{"etc/hostname": file("x\n").Perm(0o600)}, options: `{"hostname": "y"}`,
			after: treetest.Tree{"etc/hostname": file("y\n").Perm(0o600)}},
		{name: "link is replaced", before: treetest.Tree{"etc/hostname": treetest.Link("../run/name"), "run/name": file("r\n")},
			options: `{"hostname": "y"}`, after: treetest.Tree{"etc/hostname": file("y\n")}},
		{name: "bad", before: treetest.Tree{"etc/hostname": file("x\n")}, options: `{"hostname": "a b"}`, err: `not " "`},
		{name: "directory", before: treetest.Tree{"etc/hostname": treetest.Dir(0o755)}, options: `{"hostname": "y"}`, err: "etc/hostname"},
		{name: "unknown option", options: `{"hostname": "y", "pretty": "Y"}`, err: `"pretty"`},
	})
}

func TestHostnameCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.hostname", []checkCase{
		{`{"hostname": "a"}`, nil},
		{`{"hostname": "` + strings.Repeat("a", 64) + `"}`, nil},
		{`{"hostname": "` + strings.Repeat("a", 65) + `"}`, []string{"/hostname: longer than 64"}},
		{`{}`, []string{"/hostname: empty"}},
		{`{"hostname": "a..b"}`, []string{"/hostname: between dots"}},
		{`{"hostname": "a."}`, []string{"/hostname: between dots"}},
		{`{"hostname": "-a"}`, []string{"/hostname: hyphen"}},
		{`{"hostname": "a-.b"}`, []string{"/hostname: hyphen"}},
		{`{"hostname": "a_b"}`, []string{`/hostname: not "_"`}},
		{`{"hostname": "ä"}`, []string{`/hostname: not "ä"`}},
		{`{"hostname": 3}`, []string{": cannot unmarshal"}},
	})
}

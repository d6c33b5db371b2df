package stages

import (
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestLocale(t *testing.T) {
	t.Parallel()
	const name = "etc/locale.conf"
	file := treetest.File
	runCases(t, "org.osbuild.locale", []treeCase{
		{name: "new", options: `{"language": "en_US.UTF-8"}`, after: treetest.Tree{name: file("LANG=en_US.UTF-8\n")}},
		{name: "a new file", before: treetest.Tree{name: file("LANG=C\nLC_TIME=C\n").Perm(0o600)}, options: `{"language": "de_DE@euro"}`,
			after: treetest.Tree{name: file("LANG=de_DE@euro\n")}},
		{name: "link is replaced", before: treetest.Tree{name: treetest.Link("default/locale"), "etc/default/locale": file("LANG=C\n")},
			options: `{"language": "C.UTF-8"}`, after: treetest.Tree{name: file("LANG=C.UTF-8\n")}},
		{name: "bad", before: treetest.Tree{name: file("LANG=C\n")}, options: `{"language": "C\nPATH=/x"}`, err: "/language"},
		{name: "directory", before: treetest.Tree{name: treetest.Dir(0o755)}, options: `{"language": "C"}`, err: "is a directory"},
		{name: "no directory", before: treetest.Tree{"etc": file("")}, options: `{"language": "C"}`, err: "not a directory"},
	})
}

func TestLocaleCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.locale", []checkCase{
		{`{"language": "C"}`, nil},
		{`{}`, []string{"/language: empty"}},
		{`{"language": "../x"}`, []string{"/language: begin with"}},
		{`{"language": "a b"}`, []string{`/language: not " "`}},
		{`{"language": "a$b"}`, []string{`/language: not "$"`}},
		{`{"language": "` + strings.Repeat("a", 128) + `"}`, []string{"/language: longer than 127"}},
		{`{"lang": "C"}`, []string{`: "lang"`}},
	})
}

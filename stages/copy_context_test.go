package stages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
)

// contextInput is what a step is given of a context. Modes and times are those of
// a client whose umask is 002.
func contextInput(t *testing.T) map[string]string {
	t.Helper()
	dir := treetest.New(t, treetest.Tree{
		"motd": treetest.File("hello\n").Perm(0o664), "tool": treetest.File("#!/bin/sh\n").Perm(0o775),
		"files": treetest.Dir(0o2775), "files/etc": treetest.Dir(0o700), "files/etc/a.conf": treetest.File("a").Perm(0o600),
		"files/etc/link": treetest.Link("/etc/shadow"), "files/usr/bin/run": treetest.File("r").Perm(0o4711), "files/empty": treetest.Dir(0o711),
	})
	late := time.Unix(testEpoch+1000, 0)
	if err := os.Chtimes(filepath.Join(dir, "motd"), late, late); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"source": dir}
}

func TestCopyContext(t *testing.T) {
	t.Parallel()
	file, link, dir := treetest.File, treetest.Link, treetest.Dir
	motd := file("hello\n").Perm(0o644)
	conf, run := file("a").Perm(0o644), file("r").Perm(0o755)
	users := treetest.Tree{"etc/passwd": file("web:x:33:44::/:/bin/sh\n"), "etc/group": file("adm:x:4:\n")}
	runCases(t, "org.osbuild.copy", withInputs(contextInput(t), []treeCase{
		{name: "a file", before: treetest.Tree{"etc/motd": file("old").Perm(0o600)}, options: `{"source": {"type": "context", "path": "motd"}, "paths": [{"to": "/etc/motd"}]}`,
			after: treetest.Tree{"etc/motd": motd}},
		{name: "a file, into directories that are not there", options: `{"source": {"type": "context", "path": "./motd"}, "paths": [{"to": "/srv/a/b/"}]}`,
			after: treetest.Tree{"srv/a/b/motd": motd}},
		{name: "a program", before: treetest.Tree{"usr/bin": dir(0o755)}, options: `{"source": {"type": "context"}, "paths": [{"from": "/tool", "to": "/usr/bin"}]}`,
			after: treetest.Tree{"usr/bin/tool": file("#!/bin/sh\n").Perm(0o755)}},
		{name: "what is in a directory, into directories that stay as they are",
			before:  treetest.Tree{"etc": dir(0o711), "etc/x": file("x"), "usr": link("srv/usr"), "srv/usr/bin": dir(0o700)},
			options: `{"source": {"type": "context", "path": "files"}, "paths": [{}]}`,
			after: treetest.Tree{"etc/a.conf": conf, "etc/link": link("/etc/shadow"), "srv/usr/bin/run": run,
				"empty": dir(0o755)}},
		{name: "a directory", before: treetest.Tree{"srv": dir(0o700)}, options: `{"source": {"type": "context"}, "paths": [{"from": "/files/etc", "to": "/srv"}]}`,
			after: treetest.Tree{"srv/etc": dir(0o755), "srv/etc/a.conf": conf, "srv/etc/link": link("/etc/shadow")}},
		{name: "what is in a directory of the path", options: `{"source": {"type": "context", "path": "files"}, "paths": [{"from": "/usr/", "to": "/opt"}]}`,
			after: treetest.Tree{"opt/bin/run": run}},
		{name: "modes", options: `{"source": {"type": "context", "path": "files/etc"}, "paths": [{"to": "/x/y", "mode": "0640"}]}`,
			after: treetest.Tree{"x/y/a.conf": conf.Perm(0o640), "x/y/link": link("/etc/shadow")}},
		{name: "the mode of a directory follows", before: treetest.Tree{"x": dir(0o755)},
			options: `{"source": {"type": "context"}, "paths": [{"from": "/files/etc", "to": "/x", "mode": "0640"}]}`,
			after:   treetest.Tree{"x/etc": dir(0o750), "x/etc/a.conf": conf.Perm(0o640), "x/etc/link": link("/etc/shadow")}},
		{name: "what is not there", before: users, options: `{"source": {"type": "context", "path": "none"}, "paths": [{"to": "/etc/motd"}]}`,
			err: "paths: 0: the context holds no /none"},
		{name: "a user that is not there", before: users, options: `{"source": {"type": "context", "path": "motd"}, "paths": [{"to": "/a"}, {"to": "/b", "user": "nobody"}]}`,
			err: `paths: 1: the tree has no user "nobody"`},
		{name: "through a file", before: treetest.Tree{"etc/motd": file("x")}, options: `{"source": {"type": "context", "path": "motd"}, "paths": [{"to": "/etc/motd/x"}]}`,
			err: "/etc/motd is not a directory"},
	}))
	runCases(t, "org.osbuild.copy", withInputs(map[string]string{"source": treetest.New(t, treetest.Tree{"pipe": treetest.Fifo()})}, []treeCase{
		{name: "a pipe", before: users, options: `{"source": {"type": "context", "path": "pipe"}, "paths": [{"to": "/p"}]}`, err: `"pipe" is neither a file, nor a directory, nor a link`},
	}))
}

// What is copied belongs to root, or to whom the options say.
func TestCopyContextOwners(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	in := contextInput(t)
	if err := os.Lchown(filepath.Join(in["source"], "motd"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	dir := treetest.New(t, treetest.Tree{"etc/passwd": treetest.File("web:x:33:44::/:/bin/sh\n"), "etc/group": treetest.File("adm:x:4:\n")})
	options := `{"source": {"type": "context"}, "paths": [
		{"from": "/motd", "to": "/a"}, {"from": "/motd", "to": "/b", "user": "web", "group": "adm"}, {"from": "/files/etc", "to": "/c", "user": 7, "mode": "4711"}]}`
	if _, err := runStageWith(t, "org.osbuild.copy", dir, in, options); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "c", "c/a.conf", "c/link"} {
		st, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || st.ModTime().Unix() != testEpoch {
			t.Errorf("%s: the time is %v, %v", name, st.ModTime(), err)
		}
	}
	got := treetest.Read(t, dir)
	want := treetest.Tree{
		"a": treetest.File("hello\n").Perm(0o644), "b": treetest.File("hello\n").Perm(0o644).Owner(33, 4),
		"c": treetest.Dir(0o711).Owner(7, 0), "c/a.conf": treetest.File("a").Perm(0o711|os.ModeSetuid).Owner(7, 0), "c/link": treetest.Link("/etc/shadow").Owner(7, 0),
	}
	for name := range got {
		if strings.HasPrefix(name, "etc") || name == "." {
			delete(got, name)
		}
	}
	if diff := treetest.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCopyInline(t *testing.T) {
	t.Parallel()
	file := treetest.File
	runCases(t, "org.osbuild.copy", []treeCase{
		{name: "text", options: `{"source": {"type": "inline", "data": "a\nß"}, "paths": [{"to": "/etc/x.d/y"}]}`, after: treetest.Tree{"etc/x.d/y": file("a\nß")}},
		{name: "nothing", before: treetest.Tree{"y": file("x")}, options: `{"source": {"type": "inline", "data": ""}, "paths": [{"to": "/y"}]}`, after: treetest.Tree{"y": file("")}},
		{name: "bytes, twice", options: `{"source": {"type": "inline", "data": "AP8K", "encoding": "base64"}, "paths": [{"to": "/a", "mode": "755"}, {"to": "/b/c"}]}`,
			after: treetest.Tree{"a": file("\x00\xff\n").Perm(0o755), "b/c": file("\x00\xff\n")}},
		{name: "over a link", before: treetest.Tree{"etc/motd": treetest.Link("../srv/kept"), "srv/kept": file("kept")},
			options: `{"source": {"type": "inline", "data": "x"}, "paths": [{"to": "/etc/motd"}]}`, after: treetest.Tree{"etc/motd": file("x")}},
	})
}

func TestCopyPlainOptions(t *testing.T) {
	t.Parallel()
	at := func(source, paths string) string { return `{"source": ` + source + `, "paths": ` + paths + `}` }
	motd := `{"type": "context", "path": "motd"}`
	runChecks(t, "org.osbuild.copy", []checkCase{
		{at(motd, `[{"to": "/etc/motd", "mode": "0600", "user": "x", "group": 5}]`), nil},
		{at(`{"type": "archive"}`, `[]`), []string{`/source: an archive is named by its "checksum"`}},
		{at(`{"type": "context", "path": "../x"}`, `[{}]`), []string{"/source/path: leads out of the context"}},
		{at(`{"type": "context", "path": "a/../../x"}`, `[{}]`), []string{"/source/path: leads out of the context"}},
		{at(`{"type": "context", "path": "/etc/passwd"}`, `[{}]`), []string{"/source/path: is not relative to the context"}},
		{at(`{"type": "context", "path": "*.conf"}`, `[{}]`), []string{"/source/path: is not a plain name"}},
		{at(`{"type": "context", "path": "!a"}`, `[{}]`), []string{"/source/path: is not a plain name"}},
		{at(`{"type": "context", "path": "a "}`, `[{}]`), []string{"/source/path: a space at an end"}},
		{at(`{"type": "context", "path": "a"}`, `[{"from": "/../.."}]`), []string{"/paths/0/from: leads out of the context"}},
		{at(`{"type": "context", "path": "a"}`, `[{"from": "/b/../.."}, {"from": "/[a]"}]`), []string{"/paths/0/from: leads out", "/paths/1/from: is not a plain name"}},
		{at(`{"type": "context"}`, `[{"to": "/x"}]`), []string{"/paths/0: all of the context is never copied"}},
		{at(`{"type": "context", "path": "./"}`, `[{"from": "/./", "to": "/x"}]`), []string{"/paths/0: all of the context is never copied"}},
		{`{"source": ` + motd + `}`, []string{`: where files of the context go is not said`}},
		{at(motd, `[{"to": "/etc/motd", "mode": "9", "user": "a b", "group": 99999999999}]`),
			[]string{"/paths/0/group: is too large", "/paths/0/mode: is not a mode", "/paths/0/user: is neither a number nor a name"}},
		{at(`{"type": "context", "path": "a", "checksum": "x", "data": "", "encoding": "text", "strip-components": 0}`, `[{}]`), []string{
			`/source/checksum: "checksum" says nothing of a source of type context`, "/source/data: says nothing", "/source/encoding: says nothing", "/source/strip-components: says nothing"}},
		{at(`{"type": "inline"}`, `[{"to": "/a"}]`), []string{`/source: has its content in "data"`}},
		{at(`{"type": "inline", "data": "*", "encoding": "base64"}`, `[{"to": "/a"}]`), []string{"/source/data: it is not base64"}},
		{at(`{"type": "inline", "data": "a", "encoding": "hex"}`, `[{"to": "/a"}]`), []string{"/source/data: use text or base64"}},
		{at(`{"type": "inline", "data": "a"}`, `[{}, {"to": "/a/"}, {"from": "/b", "to": "/c"}]`), []string{"/paths/0: has no name of its own", "/paths/1: has no name of its own", "/paths/2/from: leave out"}},
		{`{"source": {"type": "inline", "data": "a"}}`, []string{": where the file goes is not said"}},
		{at(`{"type": "inline", "data": "`+strings.Repeat("a", maxInline+1)+`"}`, `[{"to": "/a"}]`), []string{"/source/data: copy it from the context"}},
		{at(`{"type": "curl"}`, `[]`), []string{"/source/type: use archive, context or inline"}},
	})
}

// Two clients whose umask differs give the same input to the stage.
func TestCopyContextPart(t *testing.T) {
	t.Parallel()
	var trees []treetest.Tree
	for _, umask := range []os.FileMode{0o022, 0o002} {
		in := treetest.New(t, treetest.Tree{
			"d": treetest.Dir(0o777 &^ umask), "d/f": treetest.File("f").Perm(0o666 &^ umask), "d/x": treetest.File("x").Perm(0o777 &^ umask),
			"d/out": treetest.Link("/etc"), "up": treetest.Link("../.."),
		})
		out := t.TempDir()
		if _, err := runInput(t, CopyContext, &module.Input{Tree: t.TempDir(), OutputDir: out, Inputs: map[string]string{"source": in}, Options: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		trees = append(trees, treetest.Read(t, out))
	}
	if diff := treetest.Diff(trees[0], trees[1]); diff != "" || len(trees[0]) < 5 {
		t.Errorf("%v: %s", trees[0], diff)
	}
	if _, err := runInput(t, CopyContext, &module.Input{Tree: t.TempDir(), Options: []byte("{}")}); err == nil {
		t.Error("no output is needed")
	}
}

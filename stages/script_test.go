package stages

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

func TestScript(t *testing.T) {
	t.Parallel()
	const sh = "bin/sh"
	for _, c := range []struct {
		name, script, more string
		before, after      treetest.Tree
		log                string
		code               int
	}{
		{name: "writes", script: "write /etc/x 1\\necho done", before: treetest.Tree{"etc/y": treetest.File("y")}, after: treetest.Tree{"etc/x": treetest.File("1")}, log: "done\n"},
		{name: "by its first line", script: "#! /bin/sh -e\\necho $HOME $SOURCE_DATE_EPOCH ${TRACEPARENT}.", before: treetest.Tree{"etc": treetest.Dir(0o755)}, log: "/root 1600000000 .\n"},
		{name: "fails", script: "write /etc/x 1\\nexit 7", before: treetest.Tree{"etc": treetest.Dir(0o755)}, after: treetest.Tree{"etc/x": treetest.File("1")}, code: 7},
		{name: "is killed", script: "kill", before: treetest.Tree{"etc": treetest.Dir(0o755)}, code: 128 + 9},
		{name: "removes itself", script: "rm /run/osbuild-script", before: treetest.Tree{"etc": treetest.Dir(0o755)}},
		{name: "has its own resolv.conf", script: "cat /etc/resolv.conf", more: `, "network": false`, log: "own\n", before: treetest.Tree{
			"etc/resolv.conf": treetest.File("own"), "dev/osbuildkit/resolv.conf": treetest.File("builder's")}},
		{name: "has the builder's with the network", script: "cat /etc/resolv.conf\\nwrite /etc/hosts x", more: `, "network": true`, log: "builder's\n", before: treetest.Tree{
			"etc/resolv.conf": treetest.File("own"), "dev/osbuildkit/resolv.conf": treetest.File("builder's"), "dev/osbuildkit/hosts": treetest.File("h")},
			after: treetest.Tree{"dev/osbuildkit/hosts": treetest.File("x")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := c.before.With(treetest.Tree{"run/other": treetest.File("")})
			dir := treetest.New(t, before)
			standIn(t, dir, sh)
			log, err := runStage(t, "org.osbuild.script", dir, `{"script": "`+c.script+`"`+c.more+`}`)
			var code module.ExitCode
			if c.code == 0 && err != nil || c.code != 0 && (!errors.As(err, &code) || int(code) != c.code) {
				t.Errorf("error %v, want the exit code %d\n%s", err, c.code, log)
			}
			if !strings.Contains(log, c.log) {
				t.Errorf("the log is %q", log)
			}
			if diff := treetest.Diff(before.With(c.after, treetest.Tree{"bin": treetest.Dir(0o755)}), readTree(t, dir, sh)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a script sets on files is in the ledger afterwards, and not on them.
func TestScriptAttributes(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, treetest.Tree{"srv/a": treetest.File("")})
	standIn(t, dir, "bin/sh")
	book := t.TempDir()
	in := &module.Input{Tree: dir, Ledger: book, Options: json.RawMessage(`{"script": "attribute /srv/a user.note n"}`), Epoch: testEpoch}
	if err := module.Find(Modules(), "org.osbuild.script").Run(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Load(book)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(l.Lookup("/srv/a")["user.note"]); got != "n" {
		t.Errorf("the ledger has %q", got)
	}
}

func TestScriptErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ options, err string }{
		{`{"script": "echo"}`, "the script needs /bin/sh, which is not in the tree"},
		{`{"script": "#!/usr/bin/python3\nprint()"}`, "the script needs /usr/bin/python3, which is not"},
		{`{"script": "#!/etc\n"}`, "the script needs /etc, which is not"},
		{`{"script": " "}`, "the script is empty"},
	} {
		dir := treetest.New(t, treetest.Tree{"etc/x": treetest.File("x")})
		before := treetest.Read(t, dir)
		if _, err := runStage(t, "org.osbuild.script", dir, c.options); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.options, err)
		}
		if diff := treetest.Unchanged(before, treetest.Read(t, dir)); diff != "" {
			t.Errorf("%s: %s", c.options, diff)
		}
	}
	// Nothing of a script is left if it cannot be started.
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "bin"), 0o755), os.WriteFile(filepath.Join(dir, "bin/sh"), []byte("no program"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := runStage(t, "org.osbuild.script", dir, `{"script": "echo"}`); err == nil {
		t.Error("no error")
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "run")); err != nil || len(entries) != 0 {
		t.Errorf("/run holds %v, %v", entries, err)
	}
}

func TestScriptCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.script", []checkCase{
		{`{"script": "true"}`, nil},
		{`{"script": "#! /usr/bin/env python3\n", "network": true}`, nil},
		{`{}`, []string{"/script: empty"}},
		{`{"script": "a\u0000b"}`, []string{"/script: NUL"}},
		{`{"script": "#!python3\n"}`, []string{"/script: absolute path"}},
		{`{"script": "#!"}`, []string{"/script: absolute path"}},
		{`{"script": "#!/bin/sh\r\ntrue\r\n"}`, []string{"/script: carriage returns"}},
	})
	network := module.Find(Modules(), "org.osbuild.script").Network
	for options, want := range map[string]bool{`{"script": "x"}`: false, `{"script": "x", "network": false}`: false, `{"script": "x", "network": true}`: true, `{"network": 1}`: false} {
		if network(json.RawMessage(options)) != want {
			t.Errorf("%s: the network is %v", options, !want)
		}
	}
}

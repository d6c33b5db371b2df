package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestKeymap(t *testing.T) {
	t.Parallel()
	const console, x11 = "etc/vconsole.conf", "etc/X11/xorg.conf.d/00-keyboard.conf"
	file := treetest.File
	runCases(t, "org.osbuild.keymap", []treeCase{
		{name: "2019", options: `{"keymap": "us"}`, after: treetest.Tree{console: file("KEYMAP=us\n")}},
		{name: "a new file", before: treetest.Tree{console: file("KEYMAP=us\nFONT=x\n").Perm(0o600)}, options: `{"keymap": "de-latin1"}`,
			after: treetest.Tree{console: file("KEYMAP=de-latin1\n")}},
		{name: "link is replaced", before: treetest.Tree{console: treetest.Link("x"), "etc/x": file("")}, options: `{"keymap": "us"}`,
			after: treetest.Tree{console: file("KEYMAP=us\n")}},
		{name: "all", options: `{"keymap": "cz", "font": "eurlatgr", "x11-keymap": {"layouts": ["cz", "us(intl)"]}}`, after: treetest.Tree{
			console: file("KEYMAP=cz\nFONT=eurlatgr\n"),
			x11: file(`# Written by org.osbuild.keymap; change it with localectl(1).
Section "InputClass"
        Identifier "system-keyboard"
        MatchIsKeyboard "on"
        Option "XkbLayout" "cz,us(intl)"
EndSection
`)}},
		{name: "bad", before: treetest.Tree{console: file("KEYMAP=us\n")}, options: `{"keymap": "us", "x11-keymap": {"layouts": ["\"x"]}}`,
			err: "/x11-keymap/layouts/0"},
		{name: "directory", before: treetest.Tree{console: file("KEYMAP=us\n"), x11: treetest.Dir(0o755)},
			options: `{"keymap": "de", "x11-keymap": {"layouts": ["de"]}}`, err: "not a regular file"},
	})
}

func TestKeymapCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.keymap", []checkCase{
		{`{"keymap": "mac-us", "font": "Lat2-Terminus16"}`, nil},
		{`{}`, []string{"/keymap: empty"}},
		{`{"keymap": "a/b"}`, []string{`/keymap: not "/"`}},
		{`{"keymap": "us", "font": "a b"}`, []string{`/font: not " "`}},
		{`{"keymap": "us", "x11-keymap": {"layouts": []}}`, []string{"/x11-keymap/layouts: at least one"}},
		{`{"keymap": "us", "x11-keymap": {"layouts": ["us", "u", "a,b"]}}`,
			[]string{"/x11-keymap/layouts/1: not a keyboard layout", "/x11-keymap/layouts/2: not a keyboard layout"}},
	})
}

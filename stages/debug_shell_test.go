package stages

import (
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestDebugShell(t *testing.T) {
	t.Parallel()
	const unit, link = "etc/systemd/system/osbuild-debug-shell.service", "etc/systemd/system/sysinit.target.wants/osbuild-debug-shell.service"
	text := func(tty string) treetest.Node {
		return treetest.File(strings.NewReplacer("on TTY", "on "+tty, "=TTY", "="+tty).Replace(debugShellUnit))
	}
	runCases(t, "org.osbuild.debug-shell", []treeCase{
		{name: "new", options: `{"tty": "/dev/tty9"}`,
			after: treetest.Tree{unit: text("/dev/tty9"), link: treetest.Link("../osbuild-debug-shell.service")}},
		{name: "again, on another terminal", before: treetest.Tree{
			unit: text("/dev/tty9").Perm(0o600), link: treetest.Link("../osbuild-debug-shell.service"), "etc/systemd/system/x.service": treetest.File("x"),
		}, options: `{"tty": "/dev/ttyS0"}`, after: treetest.Tree{unit: text("/dev/ttyS0").Perm(0o600)}},
		{name: "no terminal", before: treetest.Tree{"etc/systemd/system": treetest.Dir(0o755)}, options: `{"tty": "tty9"}`, err: `"tty9" is not the path of a terminal`},
		{name: "a specifier", options: `{"tty": "/dev/%i"}`, err: "leave out white space, %"},
		{name: "a directory of the name", before: treetest.Tree{link: treetest.Dir(0o755)}, options: `{"tty": "/dev/tty9"}`, err: "is a directory"},
	})
	if unit := text("/dev/tty9").Data; strings.Contains(strings.ReplaceAll(unit, "TTYPath", ""), "=TTY") || !strings.Contains(unit, "\nTTYPath=/dev/tty9\nTTYReset=yes\n") ||
		!strings.Contains(unit, "\nDescription=Early root shell on /dev/tty9 FOR DEBUGGING ONLY\n") {
		t.Errorf("the unit is\n%s", unit)
	}
}

func TestDebugShellCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.debug-shell", []checkCase{
		{`{"tty": "/dev/tty9"}`, nil},
		{`{}`, []string{"/tty: is not the path"}},
		{`{"tty": "/"}`, []string{"/tty: is not the path"}},
		{`{"tty": "/dev/tty9\nExecStart=/bin/x"}`, []string{"/tty: cannot stand in a unit"}},
		{`{"tty": "/dev/tty 9"}`, []string{"/tty: cannot stand in a unit"}},
	})
}

package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestZipl(t *testing.T) {
	t.Parallel()
	file := treetest.File
	runCases(t, "org.osbuild.zipl", []treeCase{
		{name: "new", options: `{}`, after: treetest.Tree{"etc/zipl.conf": file("[defaultboot]\ndefaultauto\nprompt=1\ntimeout=0\ntarget=/boot\n")}},
		{name: "existing", before: treetest.Tree{"etc/zipl.conf": file("long ago\n").Perm(0o600), "etc/x": file("x")}, options: `{"timeout": 5}`,
			after: treetest.Tree{"etc/zipl.conf": file("[defaultboot]\ndefaultauto\nprompt=1\ntimeout=5\ntarget=/boot\n").Perm(0o600)}},
		{name: "half a second", before: treetest.Tree{"etc/zipl.conf": file("x")}, options: `{"timeout": 0.5}`, err: "0.5 is not a whole number"},
		{name: "unknown option", options: `{"target": "/boot"}`, err: `"target"`},
	})
}

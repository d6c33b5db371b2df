package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestNoop(t *testing.T) {
	t.Parallel()
	tree := treetest.Tree{"etc/x": treetest.File("1")}
	runCases(t, "org.osbuild.noop", []treeCase{
		{name: "nothing", before: tree, options: `{}`, log: "options: {}"},
		{name: "anything", before: tree, options: `{"a":{"b":1.50}}`, log: `"b": 1.50`},
		{name: "no object", before: tree, options: `3`, err: "cannot unmarshal"},
	})
}

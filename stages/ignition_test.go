package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestIgnition(t *testing.T) {
	t.Parallel()
	const name = "boot/ignition.firstboot"
	file := treetest.File
	runCases(t, "org.osbuild.ignition", []treeCase{
		{name: "default", options: `{}`, after: treetest.Tree{name: file("")}},
		{name: "network", options: `{"network": ["rd.neednet=1", "ip=dhcp"]}`,
			after: treetest.Tree{name: file("set ignition_network_kcmdline='rd.neednet=1 ip=dhcp'")}},
		{name: "existing", before: treetest.Tree{name: file("old").Perm(0o600)}, options: `{"network": []}`, after: treetest.Tree{name: file("").Perm(0o600)}},
		{name: "target", options: `{"target": "tree:///boot/../efi/"}`, after: treetest.Tree{"efi/ignition.firstboot": file("")}},
		{name: "root", options: `{"target": "tree:///"}`, after: treetest.Tree{"ignition.firstboot": file("")}},
		{name: "never out of the tree", options: `{"target": "tree:///../../x"}`, after: treetest.Tree{"x/ignition.firstboot": file("")}},
		{name: "no directory", before: treetest.Tree{"boot": file("")}, options: `{}`, err: "boot"},
		{name: "bad", before: treetest.Tree{name: file("old")}, options: `{"network": ["a'b"]}`, err: "/network/0"},
	})
}

func TestIgnitionCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.ignition", []checkCase{
		{`{}`, nil},
		{`{"network": ["", "a\nb"]}`, []string{"/network/0: cannot stand", "/network/1: cannot stand"}},
		{`{"target": "mount://root/boot"}`, []string{"/target: not in the tree"}},
		{`{"target": "/boot"}`, []string{"/target: not in the tree"}},
		{`{"network": "ip=dhcp"}`, []string{": cannot unmarshal"}},
	})
}

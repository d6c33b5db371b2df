package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestFirstBoot(t *testing.T) {
	t.Parallel()
	const unit = "usr/lib/systemd/system/osbuild-first-boot.service"
	const wants = "usr/lib/systemd/system/default.target.wants/osbuild-first-boot.service"
	const flag = "etc/osbuild-first-boot"
	link := treetest.Link("../osbuild-first-boot.service")
	text := treetest.File(`[Unit]
Description=OSBuild First Boot Service
ConditionPathExists=/etc/osbuild-first-boot


[Service]
Type=oneshot

ExecStart=/usr/bin/rm /etc/osbuild-first-boot
ExecStart=/usr/bin/touch /a b
ExecStart=-/usr/bin/false
`)
	const options = `{"commands": ["/usr/bin/touch /a b", "-/usr/bin/false"]}`
	runCases(t, "org.osbuild.first-boot", []treeCase{
		{name: "new", options: options, after: treetest.Tree{unit: text, wants: link, flag: treetest.File("")}},
		{name: "network", options: `{"commands": [], "wait_for_network": true}`, after: treetest.Tree{
			unit: treetest.File(`[Unit]
Description=OSBuild First Boot Service
ConditionPathExists=/etc/osbuild-first-boot
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot

ExecStart=/usr/bin/rm /etc/osbuild-first-boot
`), wants: link, flag: treetest.File("")}},
		{name: "again", before: treetest.Tree{unit: treetest.File("old"), wants: link, flag: treetest.File("mine")}, options: options,
			after: treetest.Tree{unit: text}},
		{name: "bad", options: `{"commands": ["a\nExecStart=b"]}`, err: "/commands/0"},
		{name: "a file for the link", before: treetest.Tree{wants: treetest.File("")}, options: options,
			after: treetest.Tree{unit: text, wants: link, flag: treetest.File("")}},
		{name: "a directory for the link", before: treetest.Tree{wants: treetest.Dir(0o755)}, options: options, err: "is a directory"},
		{name: "a directory for the flag", before: treetest.Tree{flag: treetest.Dir(0o755)}, options: options, err: "not a regular file"},
	})
}

func TestFirstBootCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.first-boot", []checkCase{
		{`{"commands": []}`, nil},
		{`{"commands": ["/a", " ", "a\\", "a\rb"]}`, []string{"/commands/1: empty", "/commands/2: backslash", "/commands/3: more than one line"}},
		{`{"commands": "/a"}`, []string{": cannot unmarshal"}},
		{`{"commands": [], "network": true}`, []string{`: "network"`}},
	})
}

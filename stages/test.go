package stages

import (
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// TestOptions are the options of org.osbuild.test.
type TestOptions struct {
	// The program to run at boot, as one command line of a systemd unit, such
	// as /usr/bin/systemctl is-system-running --wait. What it prints goes to
	// the journal and the console.
	Script string `json:"script" jsonschema:"required,minLength=1"`
}

// testStage makes the built system test itself: a unit osbuild-test.service
// runs the script once the system is up, writes "osbuild-test: success" or
// another of systemd's words for a result to the console and, if there is one,
// to the virtio port /dev/vport0p1, and powers the machine off. The unit lies in
// etc/systemd/system, as what an administrator adds does, and is wanted by
// multi-user.target.
var testStage = module.Module{
	Name:    "org.osbuild.test",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "run a test when the system boots, then power off",
	Options: optionsOf[TestOptions],
	Check:   checkOf[TestOptions],
	Run:     runOf(runTest),
}

func (o *TestOptions) check() []module.Problem {
	bad := func(why string) []module.Problem {
		return []module.Problem{{Pointer: "/script", Message: why}}
	}
	switch {
	case strings.TrimSpace(o.Script) == "":
		return bad("the script is empty; name a program")
	case strings.ContainsAny(o.Script, "\n\r\x00"):
		return bad("the script is more than one line; put it into a file of the tree and name that")
	case strings.HasSuffix(o.Script, `\`):
		return bad("a backslash at the end would continue the line of the unit")
	}
	return nil
}

const testUnit = `[Unit]
Description=Self test of the image
After=multi-user.target

[Service]
Type=oneshot
StandardOutput=journal+console
StandardError=journal+console
ExecStart=SCRIPT
ExecStopPost=-/bin/sh -c 'for d in /dev/console /dev/vport0p1; do test -c $$d && echo "osbuild-test: $$SERVICE_RESULT" >$$d; done'
ExecStopPost=/usr/bin/systemctl --no-block poweroff

[Install]
WantedBy=multi-user.target
`

func runTest(in *module.Input, t *tree.Root, o *TestOptions) error {
	const unit = "osbuild-test.service"
	unitFile, wants := "etc/systemd/system/"+unit, "etc/systemd/system/multi-user.target.wants/"+unit
	if err := writable(t, unitFile); err != nil {
		return err
	}
	if err := writeFile(in, t, unitFile, []byte(strings.Replace(testUnit, "SCRIPT", o.Script, 1)), 0o644); err != nil {
		return err
	}
	return replaceLink(t, "../"+unit, wants)
}

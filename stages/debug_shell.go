package stages

import (
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// DebugShellOptions are the options of org.osbuild.debug-shell.
type DebugShellOptions struct {
	// The terminal that gets the shell, as an absolute path such as /dev/tty9.
	TTY string `json:"tty" jsonschema:"required,pattern=^/[^%\\s]+$"`
}

// debugShellStage makes the unit osbuild-debug-shell.service, which starts a
// shell as root on a terminal early in every boot, without asking who is
// there. Osbuild fails where the directory of the link is missing or the stage
// has run before; here the directory is made, and the unit is written anew.
var debugShellStage = module.Module{
	Name:    "org.osbuild.debug-shell",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "start a shell as root on a terminal when the system boots, to find out what is wrong",
	Options: optionsOf[DebugShellOptions],
	Check:   checkOf[DebugShellOptions],
	Run:     runOf(runDebugShell),
}

func (o *DebugShellOptions) check() []module.Problem {
	if !strings.HasPrefix(o.TTY, "/") || len(o.TTY) == 1 {
		return []module.Problem{{Pointer: "/tty", Message: quote(o.TTY) + " is not the path of a terminal: name one such as /dev/tty9"}}
	}
	if strings.ContainsAny(o.TTY, ` %\`) || hasControl(o.TTY) {
		return []module.Problem{{Pointer: "/tty", Message: quote(o.TTY) + " cannot stand in a unit: leave out white space, %, backslashes and control characters"}}
	}
	return nil
}

// The empty line at the beginning is osbuild's, to the byte.
const debugShellUnit = `
[Unit]
Description=Early root shell on TTY FOR DEBUGGING ONLY
DefaultDependencies=no
IgnoreOnIsolate=yes
ConditionPathExists=TTY

[Service]
Environment=TERM=linux
ExecStart=/bin/sh
Restart=always
RestartSec=0
StandardInput=tty
TTYPath=TTY
TTYReset=yes
TTYVHangup=yes
KillMode=process
IgnoreSIGPIPE=no
# bash ignores SIGTERM
KillSignal=SIGHUP

# Unset locale for the console getty since the console has problems
# displaying some internationalized messages.
UnsetEnvironment=LANG LANGUAGE LC_CTYPE LC_NUMERIC LC_TIME LC_COLLATE LC_MONETARY LC_MESSAGES LC_PAPER LC_NAME LC_ADDRESS LC_TELEPHONE LC_MEASUREMENT LC_IDENTIFICATION
`

func runDebugShell(in *module.Input, t *tree.Root, o *DebugShellOptions) error {
	const unit = "osbuild-debug-shell.service"
	const file, wants = configDir + "/" + unit, configDir + "/sysinit.target.wants/" + unit
	if err := writable(t, file); err != nil {
		return err
	}
	if err := renewable(t, wants); err != nil {
		return err
	}
	text := strings.NewReplacer("on TTY", "on "+o.TTY, "=TTY", "="+o.TTY).Replace(debugShellUnit)
	if err := writeFile(in, t, file, []byte(text), 0o644); err != nil {
		return err
	}
	return renewLink(t, "../"+unit, wants)
}

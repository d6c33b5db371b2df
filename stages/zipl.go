package stages

import (
	"fmt"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// ZiplOptions are the options of org.osbuild.zipl.
type ZiplOptions struct {
	// How long the boot menu waits for an answer, in seconds.
	Timeout Number `json:"timeout,omitempty"`
}

// ziplStage writes etc/zipl.conf, from which zipl, the boot loader of IBM Z,
// is put into an image. The stage runs no program: an assembler does. Osbuild
// writes a timeout that is not whole as it is, which zipl does not take; here
// it is an error.
var ziplStage = module.Module{
	Name:    "org.osbuild.zipl",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "configure zipl, the boot loader of IBM Z",
	Options: optionsOf[ZiplOptions],
	Check:   checkOf[ZiplOptions],
	Run:     runOf(runZipl),
}

func (o *ZiplOptions) check() []module.Problem { return nil }

func runZipl(in *module.Input, t *tree.Root, o *ZiplOptions) error {
	text := fmt.Sprintf("[defaultboot]\ndefaultauto\nprompt=1\ntimeout=%d\ntarget=/boot\n", o.Timeout)
	return writeFile(in, t, "etc/zipl.conf", []byte(text), 0o644)
}

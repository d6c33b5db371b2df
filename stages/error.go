package stages

import (
	"fmt"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// ErrorOptions are the options of org.osbuild.error.
type ErrorOptions struct {
	// The exit code, from 0 to 255. With 0 the stage succeeds.
	ReturnCode *Number `json:"returncode,omitempty" jsonschema:"default=255"`
}

// errorStage fails, for tests of what becomes of a failure. It changes nothing.
// Osbuild takes any number; here a number that is no exit code is an error of
// the options.
var errorStage = module.Module{
	Name:    "org.osbuild.error",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "fail with an exit code, to test what happens then",
	Options: optionsOf[ErrorOptions],
	Check:   checkOf[ErrorOptions],
	Run:     runOf(runError),
}

const maxExitCode = 255

func (o *ErrorOptions) check() []module.Problem {
	if o.ReturnCode != nil && *o.ReturnCode > maxExitCode {
		return []module.Problem{{Pointer: "/returncode", Message: fmt.Sprintf("%d is not an exit code: use 0 to %d", *o.ReturnCode, maxExitCode)}}
	}
	return nil
}

func runError(in *module.Input, _ *tree.Root, o *ErrorOptions) error {
	code := Number(maxExitCode)
	if o.ReturnCode != nil {
		code = *o.ReturnCode
	}
	in.Logf("failing on purpose with exit code %d", code)
	if code == 0 {
		return nil
	}
	return module.ExitCode(code)
}

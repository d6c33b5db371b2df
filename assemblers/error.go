package assemblers

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/osbuildkit/osbuildkit/module"
)

// ErrorOptions are the options of org.osbuild.error.
type ErrorOptions struct {
	// ReturnCode is the exit code, from 0 to 255. With 0 the assembler
	// succeeds and makes no file.
	ReturnCode *float64 `json:"returncode,omitempty" jsonschema:"minimum=0,maximum=255,default=255"`
}

const maxExitCode = 255

// code returns the exit code, and why there is none. A number may be written
// with a fraction, as long as it is a whole one.
func (o *ErrorOptions) code() (int, error) {
	if o.ReturnCode == nil {
		return maxExitCode, nil
	}
	if c := *o.ReturnCode; c >= 0 && c <= maxExitCode && c == float64(int(c)) {
		return int(c), nil
	}
	return 0, fmt.Errorf("%v is not an exit code: use a whole number from 0 to %d", *o.ReturnCode, maxExitCode)
}

func checkError(options json.RawMessage) []module.Problem {
	return checkWith(options, func(o *ErrorOptions) []module.Problem {
		if _, err := o.code(); err != nil {
			return []module.Problem{{Pointer: "/returncode", Message: err.Error()}}
		}
		return nil
	})
}

// runError fails, for tests of what becomes of a failure.
func runError(_ context.Context, in *module.Input) error {
	var o ErrorOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	code, err := o.code()
	if err != nil {
		return fmt.Errorf("option /returncode: %w", err)
	}
	in.Logf("failing on purpose with exit code %d", code)
	if code == 0 {
		return nil
	}
	return module.ExitCode(code)
}

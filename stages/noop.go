package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/osbuildkit/osbuildkit/module"
)

// NoopOptions are the options of org.osbuild.noop. They may be any
// JSON object.
type NoopOptions map[string]json.RawMessage

// noopStage prints its options and inputs and changes nothing.
var noopStage = module.Module{
	Name:    "org.osbuild.noop",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "print the options and change nothing",
	Options: optionsOf[NoopOptions],
	Run:     runNoop,
}

func runNoop(_ context.Context, in *module.Input) error {
	var o NoopOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	var text bytes.Buffer
	if len(in.Options) == 0 {
		text.WriteString("{}")
	} else if err := json.Indent(&text, in.Options, "", "  "); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	in.Logf("options: %s", text.String())
	for _, name := range slices.Sorted(maps.Keys(in.Inputs)) {
		in.Logf("input %s: %s", name, in.Inputs[name])
	}
	return nil
}

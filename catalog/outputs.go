package catalog

import (
	"encoding/json"

	"github.com/osbuildkit/osbuildkit/module"
)

// Output is a file that the options of an assembler name.
type Output struct {
	// Pointer is the JSON pointer of the option.
	Pointer string
	// Name is the name of the file in the output directory.
	Name string
}

// Outputs returns the files that the options of an assembler name: all of
// osbuild's assemblers, and so those of users, call the option "filename", alone
// or in "tar". An assembler may write more files than these.
func Outputs(options json.RawMessage) []Output {
	var out []Output
	var top, tar map[string]json.RawMessage
	add := func(pointer string, value json.RawMessage) {
		var name string
		if json.Unmarshal(value, &name) == nil && name != "" {
			out = append(out, Output{pointer, name})
		}
	}
	// What is no object names no file.
	_ = json.Unmarshal(options, &top)
	_ = json.Unmarshal(top["tar"], &tar)
	add("/filename", top["filename"])
	add("/tar/filename", tar["filename"])
	return out
}

// checkOutputs reports the files of a user's assembler that the build would
// overwrite. Built-in ones look at all that they write themselves.
func checkOutputs(options json.RawMessage) []module.Problem {
	var problems []module.Problem
	for _, o := range Outputs(options) {
		if err := module.OutputNameError(o.Name); err != nil {
			problems = append(problems, module.Problem{Pointer: o.Pointer, Message: err.Error()})
		}
	}
	return problems
}

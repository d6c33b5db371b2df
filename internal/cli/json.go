package cli

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// jsonResult is what build prints with --json, and what every command prints
// when it fails.
type jsonResult struct {
	Success  bool         `json:"success"`
	TreeID   string       `json:"tree_id,omitempty"`
	OutputID string       `json:"output_id,omitempty"`
	Outputs  []outputFile `json:"outputs,omitempty"`
	Error    *jsonError   `json:"error,omitempty"`
}

// jsonError is why a command failed.
type jsonError struct {
	// Message is what the command line prints without --json.
	Message string `json:"message"`
	// ExitCode is that of the program.
	ExitCode int `json:"exit_code"`
	// Places are the places that the error is about, if it has any.
	Places []jsonPlace `json:"places,omitempty"`
	// Step is the name of the step that failed.
	Step string `json:"step,omitempty"`
	// Log is the end of the failed step's log, one line each.
	Log []string `json:"log,omitempty"`
}

// jsonPlace is a place in a file and what is to be said about it. Lines and
// columns count from 1, columns in characters; the end is behind the last one.
type jsonPlace struct {
	File      string `json:"file"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
	// Pointer is the JSON pointer of the value.
	Pointer string `json:"pointer,omitempty"`
	// Rule is the name of the rule that a warning comes from, and URL its page.
	Rule    string `json:"rule,omitempty"`
	URL     string `json:"url,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func newPlace(file string, span manifest.Span, pointer, message string) jsonPlace {
	return jsonPlace{
		File: file, Line: span.Start.Line, Column: span.Start.Column, EndLine: span.End.Line, EndColumn: span.End.Column,
		Pointer: pointer, Message: message,
	}
}

// placeOf is the place of something wrong with a manifest.
func placeOf(e *manifest.Error) jsonPlace {
	p := newPlace(e.File, e.Span, e.Pointer, e.Message)
	p.Line, p.Column, p.Hint = e.Position.Line, e.Position.Column, e.Hint
	return p
}

// jsonCheck is what check prints of a valid manifest.
type jsonCheck struct {
	Success   bool        `json:"success"`
	File      string      `json:"file"`
	Format    string      `json:"format"`
	TreeID    string      `json:"tree_id,omitempty"`
	OutputID  string      `json:"output_id,omitempty"`
	Pipelines int         `json:"pipelines"`
	Stages    int         `json:"stages"`
	Warnings  []jsonPlace `json:"warnings,omitempty"`
}

// jsonRule is a rule of check.
type jsonRule struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
}

// addJSONFlag gives a command --json. That failures are printed then is done
// for all commands together.
func addJSONFlag(cmd *cobra.Command, value *bool) {
	cmd.Flags().BoolVar(value, "json", false, "print the result, or why there is none, as JSON")
}

// completeValues makes the shell complete the values of a flag.
func completeValues(cmd *cobra.Command, flag string, values ...string) {
	// It fails for a flag that does not exist, which a test would see.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// asJSON tells whether a command was to print JSON. A command line that is wrong
// before its flag is read has it all the same.
func asJSON(cmd *cobra.Command, args []string) bool {
	f := cmd.Flags().Lookup("json")
	if f == nil {
		return false
	}
	return f.Value.String() == "true" || slices.Contains(beforeDashes(args), "--json")
}

// beforeDashes are the arguments that may be flags.
func beforeDashes(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i]
	}
	return args
}

// printJSON prints a value on one line.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printFailure prints a failure as JSON. What people read has gone to standard
// error already.
func (a *app) printFailure(err error, code int) {
	e := &jsonError{Message: err.Error(), ExitCode: code}
	var shown *exitError
	var several manifest.Errors
	switch {
	case errors.As(err, &shown) && len(shown.places) > 0:
		e.Places = shown.places
	case errors.As(err, &several):
		for _, one := range several {
			e.Places = append(e.Places, placeOf(one))
		}
	}
	var step *stepError
	if errors.As(err, &step) {
		e.Step, e.Log = step.name, step.log
		for i, line := range e.Log {
			e.Log[i] = strings.TrimSuffix(line, "\r")
		}
	}
	e.clean()
	a.printJSON(jsonResult{Error: e})
}

// clean takes out of an error what is not to be shown, as the text on the terminal
// has it. JSON ends up in the logs of CI.
func (e *jsonError) clean() {
	e.Message, e.Step = redact.Shown(e.Message), redact.Shown(e.Step)
	e.Log = slices.Clone(e.Log)
	for i, line := range e.Log {
		e.Log[i] = redact.Shown(line)
	}
	e.Places = slices.Clone(e.Places)
	for i := range e.Places {
		e.Places[i].clean()
	}
}

func (p *jsonPlace) clean() {
	p.Message, p.Hint = redact.Shown(p.Message), redact.Shown(p.Hint)
}

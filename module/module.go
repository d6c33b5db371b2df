package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Kind says what a module is for.
type Kind string

// The kinds of module.
const (
	// Stage changes the tree of a pipeline.
	Stage Kind = "stage"
	// Assembler turns a finished tree, which it may not change, into files.
	Assembler Kind = "assembler"
)

// Sandbox says which file system a module sees as its root.
type Sandbox string

// The kinds of sandbox.
const (
	// Edit gives the runner alone: for modules written in Go that only edit
	// files. They wait for no build root and none invalidates them.
	Edit Sandbox = "edit"
	// Tools gives the build root, with the tree mounted below /run/osbuild:
	// for modules that need a program of the build root.
	Tools Sandbox = "tools"
	// Inside gives the tree itself as /: for what runs the tree's own
	// programs.
	Inside Sandbox = "inside"
)

// Group names the runner binary that carries a module. The bytes of a runner
// are part of the cache key of every step it runs, so modules whose steps are
// expensive do not share a runner with modules that change often.
type Group string

// The groups of modules.
const (
	GroupStages     Group = "stages"
	GroupPackages   Group = "packages"
	GroupAssemblers Group = "assemblers"
	// GroupPrograms starts the user's own modules and carries none.
	GroupPrograms Group = "programs"
)

// Groups lists all groups, in the order in which their runners are built.
func Groups() []Group { return []Group{GroupStages, GroupPackages, GroupAssemblers, GroupPrograms} }

// LedgerUse says what a module does with the ledger, which holds the metadata
// of the tree that layers lose.
type LedgerUse string

// The uses of a ledger.
const (
	// LedgerNone is that of most modules: it passes by their steps.
	LedgerNone LedgerUse = ""
	// LedgerRead gives the module the ledger, which it may not change.
	LedgerRead LedgerUse = "read"
	// LedgerWrite lets the module change it.
	LedgerWrite LedgerUse = "write"
)

// Module describes one built-in module.
type Module struct {
	// Name is the name in the manifest, such as "org.osbuild.hostname".
	Name string
	// Kind says whether it is a stage or an assembler.
	Kind Kind
	// Sandbox is the file system that it needs.
	Sandbox Sandbox
	// Group is the runner that carries it.
	Group Group
	// BuildRoot asks for the build root in a step of kind inside: read-only,
	// below /run/osbuild.
	BuildRoot bool
	// ScratchTree lets a module that only looks at the tree write into it all
	// the same: what it writes is thrown away.
	ScratchTree bool
	// Ledger says whether it reads or writes the ledger of the tree.
	Ledger LedgerUse
	// Summary says in one line, without a full stop, what the module does.
	Summary string
	// Options returns a pointer to a zero value of the module's options. The
	// JSON schema is generated from its type. A nil Options means that the
	// module is a part of another one and cannot be named in a manifest.
	Options func() any
	// Check looks at options that already satisfy the schema and reports what
	// a schema cannot say. It must not touch any file system. It may be nil.
	Check func(options json.RawMessage) []Problem
	// Network says whether the options of a stage ask for the network. Nil is
	// that of nearly all modules: never.
	Network func(options json.RawMessage) bool
	// Secrets lists the secrets of the build that the options name, and that
	// shape what the module makes. A step gets them as files, and a slow digest of
	// their content is in its cache key. Nil is that of nearly all modules: none.
	Secrets func(options json.RawMessage) []Secret
	// Plain lists the pointers of those values in the options that nobody should
	// read, such as passwords that are not hashed. It may be nil.
	Plain func(options json.RawMessage) []string
	// Seal returns the options as they become a part of the step, for a build with
	// an epoch: what Plain lists is hashed. It is set where Plain is.
	Seal func(options json.RawMessage, epoch int64) (json.RawMessage, error)
	// Run does the work. It is nil for a module that the graph makes out of
	// several parts.
	Run func(ctx context.Context, in *Input) error
}

// Internal reports whether the module is only a part of another one.
func (m *Module) Internal() bool { return m.Options == nil }

// Secret is a secret of the build that a module asks for.
type Secret struct {
	// Name is what the build knows it by.
	Name string
	// Pointer is the JSON pointer of the option that names it.
	Pointer string
	// Cost is what a guess costs on what the module makes.
	Cost SecretCost
}

// Problem is something wrong with the options of a stage.
type Problem struct {
	// Pointer is the JSON pointer of the value inside the options; it is
	// empty for the options as a whole.
	Pointer string
	// Message says in lower case and without a full stop what is wrong and
	// what to do.
	Message string
}

// Input is what a module is given: the contract of osbuild (tree, options,
// output_dir) and this project's additions to it.
type Input struct {
	// Tree is the directory of the tree. It is "/" in a step of kind inside.
	Tree string `json:"tree"`
	// Options holds the options as they stand in the manifest.
	Options json.RawMessage `json:"options"`
	// OutputDir is the directory into which an assembler, or a part that
	// computes something, writes its files. It exists and is empty.
	OutputDir string `json:"output_dir,omitempty"`
	// Inputs maps the name of an input to the directory that holds it.
	Inputs map[string]string `json:"inputs,omitempty"`
	// BuildRoot is the directory of the build root: "/" in a step of kind
	// tools, one below /run/osbuild in a step of kind inside whose module asks
	// for it, empty where there is none.
	BuildRoot string `json:"build_root,omitempty"`
	// Ledger is the directory of the tree's ledger, which package ledger reads
	// and writes. It is given to modules that say so in Module.Ledger; empty
	// means that there is none, as before the first entry.
	Ledger string `json:"ledger,omitempty"`
	// Secrets maps the name of a secret to the file that holds it. The file is
	// missing if the build was given no such secret.
	Secrets map[string]string `json:"secrets,omitempty"`
	// SecretsDigest is the digest of the secrets in the key of the step.
	SecretsDigest *SecretsDigest `json:"secrets_digest,omitempty"`
	// InputData is what osbuild tells about each input, for the user's modules.
	InputData map[string]json.RawMessage `json:"input_data,omitempty"`
	// ID is osbuild's id of the stage, for modules that are written for osbuild.
	ID string `json:"id,omitempty"`
	// Network says that the step has access to the network.
	Network bool `json:"network,omitempty"`
	// Epoch is the build's time in seconds since 1970; files that a module
	// makes get it as their time where the format does not keep another one.
	Epoch int64 `json:"epoch,omitempty"`
	// Log receives what a person should read about the work.
	Log io.Writer `json:"-"`
	// Output takes an archive in the place of a file in OutputDir. It is nil in a
	// build; a look at a failed step has it.
	Output io.Writer `json:"-"`
}

// Time returns the epoch of the build.
func (in *Input) Time() time.Time { return time.Unix(in.Epoch, 0).UTC() }

// Logf writes one line to the log.
func (in *Input) Logf(format string, args ...any) {
	if in.Log != nil {
		fmt.Fprintf(in.Log, strings.TrimSuffix(format, "\n")+"\n", args...)
	}
}

// DecodeOptions decodes the options into v, a pointer to a struct. A key that
// the struct does not have is an error, so that a module called by hand is as
// strict as one called from a manifest.
func (in *Input) DecodeOptions(v any) error {
	if len(in.Options) == 0 {
		return nil
	}
	return decodeStrict(in.Options, v, "options")
}

// ReadInput reads the contract from r. Unknown keys are ignored, as osbuild
// adds keys over time; a missing tree is an error.
func ReadInput(r io.Reader) (*Input, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("reading the contract: %w", err)
	}
	if len(data) > maxInput {
		return nil, fmt.Errorf("the contract is larger than %d MiB", maxInput>>20)
	}
	var in Input
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("the contract on standard input is not a JSON object of the form {\"tree\": DIR, \"options\": {…}}: %w", err)
	}
	if in.Tree == "" {
		return nil, errors.New("the contract names no \"tree\"")
	}
	if len(in.Options) == 0 || bytes.Equal(bytes.TrimSpace(in.Options), []byte("null")) {
		in.Options = json.RawMessage("{}")
	}
	return &in, nil
}

// maxInput bounds the contract: a manifest is at most 16 MiB, and the options
// of one stage are a part of it.
const maxInput = 32 << 20

func decodeStrict(data []byte, v any, what string) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if dec.More() {
		return fmt.Errorf("%s: more than one JSON value", what)
	}
	return nil
}

// Find returns the module with the given name, or nil.
func Find(modules []Module, name string) *Module {
	i := slices.IndexFunc(modules, func(m Module) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &modules[i]
}

// ExitCode is an error with which a module chooses the exit code of its step.
type ExitCode int

// Error says which code it is.
func (c ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

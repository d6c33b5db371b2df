package manifest

import (
	"encoding/json"

	"github.com/osbuildkit/osbuildkit/module"
)

// Format is the form in which a manifest was written.
type Format string

// The formats that can be read.
const (
	// Format2019 is the form of osbuild's tags 2 to 8: a pipeline at the top.
	Format2019 Format = "2019"
	// FormatV1 is osbuild's format 1: "pipeline" and "sources".
	FormatV1 Format = "v1"
)

// Names of the pipelines that the older formats are lowered to. Nested build
// pipelines are called build, build-build and so on.
const (
	TreePipeline      = "tree"
	BuildPipeline     = "build"
	AssemblerPipeline = "assembler"
)

// Manifest is a whole manifest after lowering.
type Manifest struct {
	// Name is the name the author gave, if any. It has no meaning.
	Name string
	// File is the name the manifest was read under, for messages.
	File string
	// Data is the text of the manifest.
	Data []byte
	// Format is the form it was written in.
	Format Format
	// Pipelines lists the pipelines; each comes after those it needs.
	Pipelines []*Pipeline
	// Sources lists what stages may refer to by checksum (format v1).
	Sources []*Source
	// Args lists the build arguments that are declared, in their order.
	Args []*Arg
	// Index gives the place of each JSON value.
	Index *Index

	given map[string]string // build arguments
}

// Text is a file that pipelines stand in, with the place of each value.
type Text struct {
	// File is the name the text was read under.
	File string
	// Data is the whole text.
	Data []byte
	// Index gives the place of each JSON value.
	Index *Index
}

// Pipeline returns the pipeline with the given name, or nil.
func (m *Manifest) Pipeline(name string) *Pipeline {
	for _, p := range m.Pipelines {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Trees returns the pipelines whose trees a stage or an assembler takes as inputs,
// in their order.
func (m *Manifest) Trees(s *Stage) []*Pipeline {
	var out []*Pipeline
	for _, in := range s.Inputs {
		for _, r := range in.References {
			if p := m.Pipeline(r.ID); p != nil {
				out = append(out, p)
			}
		}
	}
	return out
}

// Pipeline is a list of stages that builds one tree, or, for the pipeline
// "assembler" of the older formats, one directory of files.
type Pipeline struct {
	// Name is unique in the manifest.
	Name string
	// Build names the pipeline whose tree is the build root. It is empty for
	// the default build root, the toolbox.
	Build string
	// Runner is the osbuild runner named for the build root. It is reported
	// and otherwise without meaning here: our runner fits every build root.
	Runner string
	// Base is the id of a finished tree in the store to start from, or empty.
	Base string
	// BaseID is what the ids of the stages have of the base: Base itself,
	// unless Rebase has been told that the tree is another one.
	BaseID string
	// Stages are run in this order.
	Stages []*Stage
	// Text is the file that the pipeline stands in: the manifest, or the file
	// of the build environment (WithBuildEnv). Load always sets it.
	Text *Text
	// Pointer is the JSON pointer of the pipeline in that file.
	Pointer string
}

// ID returns the pipeline's id: that of its last stage, or of its base if it has
// no stages, or empty if it has neither.
func (p *Pipeline) ID() string {
	if len(p.Stages) == 0 {
		return p.BaseID
	}
	return p.Stages[len(p.Stages)-1].ID
}

// Stage is one stage, or the assembler as the one stage of its pipeline.
type Stage struct {
	// Type is the name of the module.
	Type string
	// Kind says whether it stands for a stage or an assembler.
	Kind module.Kind
	// Options holds the options as written, without surrounding space: order,
	// duplicates of white space aside, and number literals are the author's.
	// Values of build arguments stand in the places of their markers.
	// It is never empty; absent and null options are {}.
	Options json.RawMessage
	// Inputs are further trees or files that the stage reads.
	Inputs []Input
	// ID is osbuild's id of the stage, in hex.
	ID string
	// Pointer is the JSON pointer of the stage in its pipeline's file.
	Pointer string
}

// SourceOrigin is the origin of inputs that are items of the manifest's sources.
const SourceOrigin = "org.osbuild.source"

// Input is something a stage reads besides its tree.
type Input struct {
	// Name is the stage's name for it, such as "packages" or "tree".
	Name string
	// Type is osbuild's input type, such as "org.osbuild.files".
	Type string
	// Origin is "org.osbuild.source" or "org.osbuild.pipeline".
	Origin string
	// References are checksums of a source, or names of pipelines.
	References []Reference
}

// Reference is one thing that an input names, with its options as JSON.
type Reference struct {
	ID      string
	Options json.RawMessage
}

// Source is one kind of source with its items (format v1).
type Source struct {
	// Type is the source's name, such as "org.osbuild.curl".
	Type string
	// Items maps a checksum, "sha256:…", to how it is fetched, as JSON.
	Items map[string]json.RawMessage
	// Options are the options of the source as a whole, as JSON.
	Options json.RawMessage
	// Pointer is the JSON pointer of the source in the manifest.
	Pointer string
}

// Catalog says which modules exist. It is how validation knows the built-in
// modules, and later the user's own, without importing them.
type Catalog interface {
	// Schema returns the JSON schema (draft 2020-12) of the options of a
	// module, or false if there is no such module.
	Schema(kind module.Kind, name string) ([]byte, bool)
	// Names lists the modules of a kind, sorted.
	Names(kind module.Kind) []string
	// Check reports what a schema cannot say about options that satisfy it.
	Check(kind module.Kind, name string, options json.RawMessage) []module.Problem
}

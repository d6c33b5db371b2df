package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
)

// Origins of inputs.
const (
	originPipeline = "org.osbuild.pipeline"
	originSource   = SourceOrigin
)

// TreeID returns osbuild's id of the main tree, 64 hex digits, or "" if the
// manifest builds none.
func (m *Manifest) TreeID() string { return m.pipelineID(TreePipeline) }

// OutputID returns osbuild's id of the assembler's output, 64 hex digits, or ""
// if the manifest has no assembler.
func (m *Manifest) OutputID() string { return m.pipelineID(AssemblerPipeline) }

func (m *Manifest) pipelineID(name string) string {
	if p := m.Pipeline(name); p != nil {
		return p.ID()
	}
	return ""
}

// identify computes the ids of a pipeline's stages and, in format v1, gives the
// stages their inputs. The pipelines that it needs must have theirs.
func (l *loader) identify(p *Pipeline) {
	p.BaseID = p.Base
	if l.v1 {
		for _, s := range p.Stages {
			if s.Kind == module.Stage {
				s.Inputs = v1Inputs(s.Type, l.stages[s])
			}
		}
	}
	l.manifest.identify(p, func(s *Stage) []byte { return pythonNode(l.stages[s]) })
}

// identify computes the ids of a pipeline's stages, whose options the function
// gives as Python would write them.
//
// The form of 2019 hashes name, build root, previous stage and options; format
// v1 the inputs too. In the form of 2019 an assembler follows the tree's last
// stage; in format v1 it is the first of its pipeline and has the tree as input.
func (m *Manifest) identify(p *Pipeline, options func(*Stage) []byte) {
	build := m.pipelineID(p.Build)
	previous := p.BaseID
	if p.Name == AssemblerPipeline && m.Format != FormatV1 {
		previous = m.TreeID()
	}
	for _, s := range p.Stages {
		var inputs []Input
		if m.Format == FormatV1 {
			inputs = s.Inputs
		}
		s.ID = stageID(s.Type, build, previous, options(s), inputs, m.pipelineID)
		previous = s.ID
	}
}

// Rebase computes all ids again for bases that turn out to be other trees than
// their ids say. The function returns the id that the base of a pipeline is to
// have in them.
func (m *Manifest) Rebase(baseID func(*Pipeline) string) error {
	options := map[*Stage][]byte{}
	for _, p := range m.Pipelines {
		for _, s := range p.Stages {
			text, err := CanonicalPython(s.Options)
			if err != nil {
				return err
			}
			options[s] = text
		}
	}
	for _, p := range m.Pipelines {
		if p.Base != "" {
			p.BaseID = baseID(p)
		}
		m.identify(p, func(s *Stage) []byte { return options[s] })
	}
	return nil
}

// VariantID returns the id of a tree that is not quite the one with the given
// id. What makes it another one is part of the id.
func VariantID(id string, what ...string) string {
	h := sha256.New()
	for _, s := range append([]string{"variant", id}, what...) {
		h.Write(pythonString(s))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// stageID is osbuild's id of a stage. Build and previous are empty for null,
// and options are the text that Python would write. The function tells the ids
// of pipelines that inputs refer to by name.
func stageID(name, build, previous string, options []byte, inputs []Input, pipelineID func(string) string) string {
	h := sha256.New()
	h.Write(pythonString(name))
	h.Write(pythonOrNull(build))
	h.Write(pythonOrNull(previous))
	h.Write(options)
	if len(inputs) > 0 {
		ids := make(map[string][]byte, len(inputs))
		for _, in := range inputs {
			ids[in.Name] = pythonString(inputID(in, pipelineID))
		}
		h.Write(pythonObject(ids))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// inputID is osbuild's id of an input: its type, origin, references and options,
// which the older formats never have.
func inputID(in Input, pipelineID func(string) string) string {
	references := make(map[string][]byte, len(in.References))
	for _, ref := range in.References {
		id := ref.ID
		if in.Origin == originPipeline {
			if id = pipelineID(id); id == "" {
				id = "null" // what Python makes of a key None
			}
		}
		options, err := CanonicalPython(ref.Options)
		if err != nil {
			options = []byte("{}") // absent
		}
		references[id] = options
	}
	h := sha256.New()
	h.Write(pythonString(in.Type))
	h.Write(pythonString(in.Origin))
	h.Write(pythonObject(references))
	h.Write([]byte("{}"))
	return hex.EncodeToString(h.Sum(nil))
}

func pythonString(s string) []byte { return writePythonString(nil, s) }

func pythonOrNull(s string) []byte {
	if s == "" {
		return []byte("null")
	}
	return pythonString(s)
}

// pythonNode writes options as Python does; absent ones are {}.
func pythonNode(n *node) []byte {
	if n == nil {
		return []byte("{}")
	}
	return pythonWriter.append(make([]byte, 0, n.end-n.start), n)
}

// pythonObject writes an object whose values are already written.
func pythonObject(members map[string][]byte) []byte {
	keys := make([]string, 0, len(members))
	for k := range members {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	b := []byte{'{'}
	for i, k := range keys {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(writePythonString(b, k), ": "...)
		b = append(b, members[k]...)
	}
	return append(b, '}')
}

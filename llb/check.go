package llb

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/keyboard"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// Check reports what the graph of a manifest would refuse whatever is given with
// the build: what concerns several stages, or a stage and the sources. The rest
// is known to manifest.Load, or only to a build. The function own says which
// modules are the user's; it may be nil.
func Check(m *manifest.Manifest, own func(kind module.Kind, name string) bool) manifest.Errors {
	c := &check{graph: New(m, Options{}), own: own}
	for _, p := range m.Pipelines {
		c.repos, c.debian = false, false
		for i, s := range p.Stages {
			c.at = place{pipeline: p, stage: s, number: i + 1}
			c.stage()
		}
	}
	return c.found
}

// check is one run over one manifest.
type check struct {
	graph *Graph
	own   func(kind module.Kind, name string) bool
	at    place
	// repos says that an earlier stage of the pipeline names a repository,
	// debian that one makes a Debian.
	repos, debian bool
	found         manifest.Errors
}

// add reports an error at a value of the file that the stage is in, which the
// tokens lead to from the stage.
func (c *check) add(err error, tokens ...string) {
	if err != nil {
		c.report(c.at.pipeline.Text, manifest.JoinPointer(c.at.stage.Pointer, tokens...), err)
	}
}

func (c *check) report(text *manifest.Text, pointer string, err error) {
	span, ok := text.Index.Value(pointer)
	if !ok {
		pointer = c.at.stage.Pointer
		span, _ = text.Index.Value(pointer)
	}
	if span.End.Line > span.Start.Line {
		// The whole of a stage would hide what is meant.
		span.End = manifest.Position{Line: span.Start.Line, Column: span.Start.Column + 1}
	}
	c.found = append(c.found, &manifest.Error{File: text.File, Position: span.Start, Span: span, Pointer: pointer, Message: err.Error()})
}

func (c *check) stage() {
	s := c.at.stage
	if c.own != nil && c.own(s.Kind, s.Type) {
		c.program()
		return
	}
	if s.Kind == module.Assembler && s.Type == diskAssembler {
		c.boots()
	}
	if s.Kind != module.Stage {
		return
	}
	switch s.Type {
	case packages.DebootstrapStage:
		var o packages.DebootstrapOptions
		if json.Unmarshal(s.Options, &o) == nil {
			c.empty()
			c.repos, c.debian = true, true
			c.mirror(o.Mirror, "options", "mirror")
		}
	case packages.AptStage:
		var o packages.AptOptions
		if json.Unmarshal(s.Options, &o) == nil {
			c.repos = c.repos || len(o.Repos) > 0
			c.add(needRepositories(c.repos))
			for i, r := range o.Repos {
				c.mirror(r.Mirror, "options", "repos", strconv.Itoa(i), "mirror")
			}
		}
	case "org.osbuild.rpm":
		var o packages.RPMOptions
		if json.Unmarshal(s.Options, &o) == nil {
			for i, p := range o.Packages {
				c.file(p.Checksum, "options", "packages", strconv.Itoa(i))
			}
		}
	case copyStage:
		if sum, err := copySource(s); err == nil && copyType(s) == "archive" {
			c.file(sum, "options", "source", "checksum")
		}
	case "org.osbuild.keymap":
		var o struct {
			Keymap    string          `json:"keymap"`
			X11Keymap json.RawMessage `json:"x11-keymap"`
		}
		if c.debian && json.Unmarshal(s.Options, &o) == nil && o.X11Keymap == nil {
			if _, _, ok := keyboard.Of(o.Keymap); !ok {
				c.add(keyboard.Unknown(o.Keymap), "options", "keymap")
			}
		}
	case "org.osbuild.ostree":
		if _, err := c.graph.ostreeFetch(s); err != nil {
			c.add(err, "options", "commit")
		}
	}
}

// writesNothing are stages that leave an empty tree empty.
var writesNothing = []string{"org.osbuild.noop", "org.osbuild.error", "org.osbuild.test"}

// empty checks that nothing was put into a tree before a system is made in it.
func (c *check) empty() {
	p := c.at.pipeline
	before := p.Stages[:c.at.number-1]
	if i := slices.IndexFunc(before, func(s *manifest.Stage) bool {
		return !slices.Contains(writesNothing, s.Type) || c.own != nil && c.own(s.Kind, s.Type)
	}); i >= 0 {
		c.add(fmt.Errorf("a system is made in an empty tree only, and the stage %s comes before: make this the first stage of the pipeline", before[i].Type))
	} else if p.Base != "" {
		c.add(errors.New("a system is made in an empty tree only, and the pipeline goes on from a stored one: leave out this stage, or \"base\""))
	}
}

// mirror checks the address of a mirror, if there is one.
func (c *check) mirror(address string, tokens ...string) {
	if address != "" {
		c.add(CheckMirror(address), tokens...)
	}
}

// file checks a reference to a file of the sources. What is wrong with the item
// is reported there.
func (c *check) file(checksum string, tokens ...string) {
	if _, err := c.graph.sourceItem(curlSource, checksum); err != nil {
		c.add(err, tokens...)
		return
	}
	if _, err := c.graph.sourceFile(c.at, checksum); err != nil {
		text := &manifest.Text{File: c.graph.m.File, Data: c.graph.m.Data, Index: c.graph.m.Index}
		c.report(text, c.graph.itemPointer(curlSource, checksum), err)
	}
}

// program checks what a module of the user reads.
func (c *check) program() {
	for _, in := range c.at.stage.Inputs {
		if in.Origin != manifest.SourceOrigin {
			continue
		}
		_, err := c.graph.programFiles(c.at, in)
		c.add(err)
	}
}

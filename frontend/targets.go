package frontend

import (
	"encoding/json"
	"fmt"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// TargetInfo says what can be asked for as a target.
type TargetInfo struct {
	// Name is what --target takes.
	Name string
	// Description says in one line what the target gives.
	Description string
	// Default says that it is built when no target is asked for.
	Default bool
	// Pipeline is the pipeline that the target is made from.
	Pipeline *manifest.Pipeline
}

// Targets lists the targets of a manifest: its pipelines, each after those it
// needs, and the container disk where there is an assembler. A pipeline that
// builds nothing is none.
func Targets(m *manifest.Manifest) []TargetInfo {
	standard, err := Target(m, "")
	if err != nil {
		return nil
	}
	var out []TargetInfo
	for _, p := range m.Pipelines {
		if len(p.Stages) == 0 && p.Base == "" {
			continue
		}
		out = append(out, TargetInfo{Name: p.Name, Description: describePipeline(m, p), Default: p.Name == standard, Pipeline: p})
	}
	if p := m.Pipeline(manifest.AssemblerPipeline); p != nil {
		out = append(out, TargetInfo{
			Name: ContainerDiskTarget, Description: "a container image with the disk, for KubeVirt", Pipeline: p,
		})
	}
	return out
}

func describePipeline(m *manifest.Manifest, p *manifest.Pipeline) string {
	switch {
	case p.Name == manifest.AssemblerPipeline && len(p.Stages) == 1:
		var o struct {
			Filename string `json:"filename"`
		}
		if json.Unmarshal(p.Stages[0].Options, &o) == nil && o.Filename != "" {
			return fmt.Sprintf("%s, made by %s", o.Filename, p.Stages[0].Type)
		}
		return "what " + p.Stages[0].Type + " makes"
	case p.Name == manifest.TreePipeline:
		return "the tree of the operating system, " + count(len(p.Stages), "stage")
	}
	for _, q := range m.Pipelines {
		if q.Build == p.Name {
			return fmt.Sprintf("the build root of %s, %s", q.Name, count(len(p.Stages), "stage"))
		}
	}
	return "a tree, " + count(len(p.Stages), "stage")
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// span returns the place of the manifest where a target is written: the list
// of its stages, or the name of its assembler.
func (t *TargetInfo) span() (manifest.Span, bool) {
	p := t.Pipeline
	if p.Name == manifest.AssemblerPipeline && len(p.Stages) == 1 {
		return stageSpan(p, p.Stages[0])
	}
	if span, ok := p.Text.Index.Key(manifest.JoinPointer(p.Pointer, "stages")); ok {
		return span, true
	}
	return p.Text.Index.Value(p.Pointer)
}

// stageSpan returns the place of a stage's name.
func stageSpan(p *manifest.Pipeline, s *manifest.Stage) (manifest.Span, bool) {
	for _, key := range []string{"name", "type"} {
		if span, ok := p.Text.Index.Value(manifest.JoinPointer(s.Pointer, key)); ok {
			return span, true
		}
	}
	return p.Text.Index.Value(s.Pointer)
}

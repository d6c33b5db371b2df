package manifest

import (
	"encoding/json"
	"regexp"
	"strconv"

	"github.com/osbuildkit/osbuildkit/module"
)

// pipeline is a pipeline of the older formats: nested, with its assembler.
type pipeline struct {
	text      *Text
	pointer   string
	name      string
	base      string
	build     *pipeline
	runner    string
	stages    []*Stage
	assembler *Stage
}

// empty reports whether the pipeline builds nothing and starts from nothing. As
// a build root it stands for the default one, as it did for the host's system.
func (p *pipeline) empty() bool { return len(p.stages) == 0 && p.base == "" }

// innermost returns the pipeline at the end of the chain of build pipelines.
// An empty one at the end is left out.
func (p *pipeline) innermost() *pipeline {
	for p.build != nil && !(p.build.empty() && p.build.build == nil) {
		p = p.build
	}
	return p
}

var treeID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// pipeline reads one pipeline object. Only the main pipeline may have an
// assembler.
func (l *loader) pipeline(n *node, pointer string, main bool) *pipeline {
	p := &pipeline{text: l.text, pointer: pointer}
	if !l.want(n, pointer, `"pipeline"`, kindObject) {
		return p
	}
	what, allowed := "pipeline", []string{"build", "stages", "assembler"}
	if !l.v1 {
		allowed = []string{"name", "base", "build", "stages", "assembler"}
	}
	var ignored []string
	if pointer == "" {
		ignored = ignoredKeys
		if main {
			what = "manifest"
			allowed = append(allowed, "args")
		}
	}
	l.keys(n, pointer, what, allowed, ignored, map[string]string{
		"runner":  `"runner" stands beside "pipeline" in "build"`,
		"base":    "only the form of 2019 has it",
		"version": "this format is written without it; remove it",
		"name":    "format v1 has no names of pipelines; remove it",
		"args":    "build arguments are declared at the top of the manifest",
	})
	if !l.v1 {
		l.names(n, pointer, p)
	}
	if build := n.get("build"); build != nil && build.kind != kindNull {
		p.build, p.runner = l.buildRoot(build, pointer+"/build")
	}
	if stages := n.get("stages"); stages != nil && l.want(stages, pointer+"/stages", `"stages"`, kindArray) {
		for i, kid := range stages.kids {
			if s := l.stage(kid, pointer+"/stages/"+strconv.Itoa(i), module.Stage); s != nil {
				p.stages = append(p.stages, s)
			}
		}
	}
	if assembler := n.get("assembler"); assembler != nil && assembler.kind != kindNull {
		if !main {
			l.key(assembler, pointer+"/assembler", "a build root is a tree; remove it, or move it to the main pipeline",
				"an assembler in a build pipeline is not supported")
		}
		p.assembler = l.stage(assembler, pointer+"/assembler", module.Assembler)
	}
	return p
}

// names reads what only the form of 2019 has.
func (l *loader) names(n *node, pointer string, p *pipeline) {
	if name := n.get("name"); name != nil && l.want(name, pointer+"/name", `"name"`, kindString) {
		p.name = name.text
	}
	base := n.get("base")
	if base == nil || base.kind == kindNull || !l.want(base, pointer+"/base", `"base"`, kindString) {
		return
	}
	if !treeID.MatchString(base.text) {
		l.value(base, pointer+"/base", "it is printed as \"tree id:\" at the end of a build",
			`"base" must be the id of a tree, 64 hex digits in lower case, found %s`, quote(base.text))
		return
	}
	p.base = base.text
}

// buildRoot reads the value of "build".
func (l *loader) buildRoot(n *node, pointer string) (*pipeline, string) {
	if !l.want(n, pointer, `"build"`, kindObject) {
		return nil, ""
	}
	if !l.v1 && n.get("pipeline") == nil && n.get("runner") == nil {
		return l.pipeline(n, pointer, false), ""
	}
	return l.wrapped(n, pointer)
}

// wrapped reads {"pipeline": P, "runner": R}.
func (l *loader) wrapped(n *node, pointer string) (*pipeline, string) {
	var ignored []string
	if pointer == "" {
		ignored = ignoredKeys
	}
	l.keys(n, pointer, "build environment", []string{"pipeline", "runner"}, ignored, map[string]string{
		"stages": `beside "runner" it stands inside "pipeline"`,
		"build":  `beside "runner" it stands inside "pipeline"`,
		"base":   `beside "runner" it stands inside "pipeline"`,
		"args":   "build arguments are declared at the top of the manifest",
	})
	var runner string
	switch r := n.get("runner"); {
	case r == nil:
		l.value(n, pointer, `add one, such as "runner": "org.osbuild.linux"`, `the build environment has no "runner"`)
	case l.want(r, pointer+"/runner", `"runner"`, kindString):
		runner = r.text
	}
	p := n.get("pipeline")
	switch {
	case p == nil && l.v1:
		l.value(n, pointer, `add "pipeline": {} for the default build root`, `the build environment has no "pipeline"`)
		return nil, runner
	case p == nil, p.kind == kindNull && !l.v1:
		return nil, runner
	}
	return l.pipeline(p, pointer+"/pipeline", false), runner
}

// stage reads a stage or an assembler. It returns nil if there is nothing that
// could be lowered.
func (l *loader) stage(n *node, pointer string, kind module.Kind) *Stage {
	article := "a stage"
	if kind == module.Assembler {
		article = "the assembler"
	}
	if !l.want(n, pointer, article, kindObject) {
		return nil
	}
	allowed := []string{"name", "options"}
	l.keys(n, pointer, string(kind), allowed, nil, map[string]string{
		"type":   `format v2 writes "type"; in this format the key is "name"`,
		"inputs": "only format v2 has it",
	})
	options, checkable := n.get("options"), true
	if options != nil && options.kind == kindNull {
		options = nil
	}
	if options != nil && !l.want(options, pointer+"/options", `"options"`, kindObject) {
		options, checkable = nil, false
	}
	name := n.get("name")
	if name == nil {
		for _, kid := range n.kids {
			if kid.key == "type" || Nearest(kid.key, allowed) == "name" {
				return nil // already reported as an unknown key
			}
		}
		l.value(n, pointer, "", `the %s has no "name"`, kind)
		return nil
	}
	if !l.want(name, pointer+"/name", `"name"`, kindString) {
		return nil
	}
	s := &Stage{Type: name.text, Kind: kind, Options: json.RawMessage("{}"), Pointer: pointer}
	if options != nil {
		s.Options = l.text.Data[options.start:options.end:options.end]
		if l.args != nil {
			var ok bool
			options, s.Options, ok = l.substitute(options, pointer+"/options")
			checkable = checkable && ok
		}
	}
	l.stages[s] = options
	if l.known(name, pointer, s) && checkable {
		l.options(n, options, s)
	}
	return s
}

// known reports a module that does not exist.
func (l *loader) known(name *node, pointer string, s *Stage) bool {
	if _, ok := l.catalog.Schema(s.Kind, s.Type); ok {
		return true
	}
	var hint string
	if s.Kind == module.Stage {
		if _, ok := l.catalog.Schema(module.Assembler, s.Type); ok {
			hint = `it is an assembler: give it under "assembler"`
		}
	} else if _, ok := l.catalog.Schema(module.Stage, s.Type); ok {
		hint = `it is a stage: give it in "stages"`
	}
	if hint == "" && !l.full() {
		hint = didYouMean(s.Type, l.catalog.Names(s.Kind))
	}
	if hint == "" {
		hint = `"osbuildkit stages" lists what exists`
	}
	l.value(name, pointer+"/name", hint, "unknown %s %s", s.Kind, quote(s.Type))
	return false
}

// lower turns the chain of pipelines into the list of the model, innermost
// first, and computes the ids.
func (l *loader) lower(main *pipeline) {
	m := l.manifest
	var chain []*Pipeline
	name := TreePipeline
	for p := main; p != nil; p = p.build {
		if p != main && p.empty() && p.build == nil {
			break
		}
		out := &Pipeline{Name: name, Runner: p.runner, Base: p.base, Stages: p.stages, Text: p.text, Pointer: p.pointer}
		name = BuildPipeline + "-" + name
		if p == main {
			name = BuildPipeline
		}
		if p.build != nil && !p.build.empty() {
			out.Build = name
		}
		chain = append(chain, out)
	}
	for i := len(chain) - 1; i >= 0; i-- {
		l.identify(chain[i])
		m.Pipelines = append(m.Pipelines, chain[i])
	}
	if main.assembler == nil {
		return
	}
	tree := chain[0]
	a := main.assembler
	a.Inputs = []Input{{Name: "tree", Type: "org.osbuild.tree", Origin: originPipeline, References: []Reference{{ID: TreePipeline}}}}
	out := &Pipeline{Name: AssemblerPipeline, Build: tree.Build, Runner: tree.Runner, Stages: []*Stage{a}, Text: tree.Text, Pointer: a.Pointer}
	l.identify(out)
	m.Pipelines = append(m.Pipelines, out)
}

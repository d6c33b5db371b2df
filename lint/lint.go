package lint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// Rule is one thing that is looked for.
type Rule struct {
	// Name is the name by which the rule is shown and skipped, in camel case.
	Name string
	// Summary says in one line, without a full stop, what the rule is about.
	Summary string
	// Why says in full sentences why it matters and what to do. An empty line
	// separates paragraphs.
	Why string
	// Bad and Good are manifests with and without what the rule finds.
	Bad, Good string

	check func(*pass)
}

// docsURL is where the pages of the rules are.
const docsURL = "https://github.com/osbuildkit/osbuildkit/blob/main/docs/lint/"

// URL returns the address of the rule's page.
func (r *Rule) URL() string { return docsURL + r.Name + ".md" }

// Finding is one place that a rule has something to say about.
type Finding struct {
	// Rule is the name of the rule.
	Rule string
	// Pipeline is the name of the pipeline; it is empty for a source.
	Pipeline string
	// File is the file, as it was named to manifest.Load.
	File string
	// Pointer is the JSON pointer of the value.
	Pointer string
	// Span is the place of what is to be shown of it, on one line.
	Span manifest.Span
	// Text is the file with its content.
	Text *manifest.Text
	// Message says in lower case what was found and what to do.
	Message string
	// Detail is the summary of the rule.
	Detail string
	// URL is the address of the rule's page.
	URL string
}

// String returns "file:line:column: warning: rule: message".
func (f *Finding) String() string {
	return fmt.Sprintf("%s:%d:%d: warning: %s: %s", f.File, f.Span.Start.Line, f.Span.Start.Column, f.Rule, f.Message)
}

// Modules knows the built-in modules; catalog.Catalog is one.
type Modules interface {
	// Module returns the module of the given kind and name, or nil.
	Module(kind module.Kind, name string) *module.Module
}

// Config says which rules are left out.
type Config struct {
	// Skip names rules. Unknown names are ignored.
	Skip []string
	// SkipAll leaves out all rules.
	SkipAll bool
	// Dated says that the build takes repositories for which the manifest names no
	// mirror as they were at a time.
	Dated bool
	// Now is the time that hints name; the zero time stands for the present one.
	Now time.Time
}

// MaxFindings bounds what is found in one manifest.
const MaxFindings = 100

// Run applies the rules to a manifest that manifest.Load has checked, and
// returns what they find in the order of the text. If there is more than can be
// shown, the last finding says so.
func Run(m *manifest.Manifest, modules Modules, c Config) []Finding {
	if c.SkipAll {
		return nil
	}
	if c.Now.IsZero() {
		c.Now = time.Now()
	}
	p := &pass{config: c, m: m, modules: modules, text: &manifest.Text{File: m.File, Data: m.Data, Index: m.Index}}
	for i := range rules {
		if p.rule = &rules[i]; !slices.Contains(c.Skip, p.rule.Name) {
			p.before = len(p.found)
			p.rule.check(p)
		}
	}
	own := func(f *Finding) int {
		if f.Text.Index == m.Index {
			return 0
		}
		return 1 // the file of the build environment comes after the manifest
	}
	slices.SortStableFunc(p.found, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(own(&a), own(&b)),
			cmp.Compare(a.Span.Start.Line, b.Span.Start.Line),
			cmp.Compare(a.Span.Start.Column, b.Span.Start.Column),
			cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Message, b.Message),
		)
	})
	if len(p.found) > MaxFindings {
		p.found = p.found[:MaxFindings]
		p.found[MaxFindings-1].Message = fmt.Sprintf("more than %d warnings; the others are not shown", MaxFindings-1)
	}
	return p.found
}

// pass is one run over one manifest.
type pass struct {
	config  Config
	m       *manifest.Manifest
	modules Modules
	text    *manifest.Text
	rule    *Rule
	found   []Finding
	before  int // findings of the rules before this one

	scriptsOf map[*manifest.Stage]scriptOptions
}

// full reports whether a rule has found more than is ever shown. A finding has a
// place in the text, which costs more than all else that a rule does.
func (p *pass) full() bool { return len(p.found)-p.before > MaxFindings }

// stages calls fn for each stage, assemblers included.
func (p *pass) stages(fn func(at *manifest.Pipeline, s *manifest.Stage)) {
	for _, q := range p.m.Pipelines {
		for _, s := range q.Stages {
			fn(q, s)
		}
	}
}

// atStage reports a stage as a whole. Its name is what is shown of it.
func (p *pass) atStage(at *manifest.Pipeline, s *manifest.Stage, format string, args ...any) {
	if p.full() {
		return
	}
	p.add(at.Name, at.Text, s.Pointer, stageSpan(at.Text, s.Pointer), fmt.Sprintf(format, args...))
}

// atOption reports an option, which the tokens lead to from the stage's options.
func (p *pass) atOption(at *manifest.Pipeline, s *manifest.Stage, tokens []string, format string, args ...any) {
	if p.full() {
		return
	}
	pointer := manifest.JoinPointer(manifest.JoinPointer(s.Pointer, "options"), tokens...)
	span, ok := at.Text.Index.Value(pointer)
	if !ok {
		span = stageSpan(at.Text, s.Pointer)
	}
	p.add(at.Name, at.Text, pointer, oneLine(span), fmt.Sprintf(format, args...))
}

// atKey reports the key of a member of the manifest itself.
func (p *pass) atKey(pipeline string, pointer, format string, args ...any) {
	if p.full() {
		return
	}
	span, ok := p.text.Index.Key(pointer)
	if !ok {
		span, _ = p.text.Index.Value(pointer)
	}
	p.add(pipeline, p.text, pointer, oneLine(span), fmt.Sprintf(format, args...))
}

func (p *pass) add(pipeline string, text *manifest.Text, pointer string, span manifest.Span, message string) {
	p.found = append(p.found, Finding{
		Rule: p.rule.Name, Pipeline: pipeline, File: text.File, Pointer: pointer, Span: span, Text: text,
		Message: message, Detail: p.rule.Summary, URL: p.rule.URL(),
	})
}

func stageSpan(text *manifest.Text, pointer string) manifest.Span {
	for _, key := range []string{"name", "type"} {
		if span, ok := text.Index.Value(manifest.JoinPointer(pointer, key)); ok {
			return span
		}
	}
	span, _ := text.Index.Value(pointer)
	return oneLine(span)
}

// oneLine keeps the first character of what is longer than a line: marking a
// whole object would hide what is meant.
func oneLine(span manifest.Span) manifest.Span {
	if span.End.Line > span.Start.Line {
		span.End = manifest.Position{Line: span.Start.Line, Column: span.Start.Column + 1}
	}
	return span
}

// decode reads what a rule wants to know of a stage's options. What has another
// type than the rule thinks stays empty: the options may be those of somebody's
// own module.
func decode(s *manifest.Stage, v any) {
	_ = json.Unmarshal(s.Options, v) //nolint:errcheck // see above
}

// texts is a string or a list of strings.
type texts []string

// UnmarshalJSON reads either and leaves anything else out.
func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = texts{one}
		return nil
	}
	var several []string
	if json.Unmarshal(data, &several) == nil {
		*t = several
	}
	return nil
}

// quote writes a text of the manifest for a message.
func quote(s string) string {
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80]) + "…"
	}
	return strconv.Quote(s)
}

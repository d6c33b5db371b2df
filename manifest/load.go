package manifest

import (
	"slices"
	"strconv"
	"strings"
)

// Option changes how Load reads a manifest.
type Option func(*loader)

// WithBuildEnv gives the file of osbuild's option --build-env, {"pipeline": P,
// "runner": R}, or that of --build-pipeline, P alone. Its pipeline becomes the
// build root of the innermost pipeline: of the deepest build pipeline of the
// manifest, or of its main pipeline if there is none. Errors in the file name
// it.
func WithBuildEnv(file string, data []byte) Option {
	return func(l *loader) { l.env = &envFile{file: file, data: data} }
}

type envFile struct {
	file string
	data []byte
}

// Load reads a manifest in the form of 2019 or in format v1, checks it against
// the catalog, and lowers it to the model. The file name is only used in
// messages. A byte order mark, a "#!" line and directives such as "# syntax=…"
// may stand before the JSON; top-level keys "syntax" and "$schema" are ignored.
// Values of the build arguments that "args" declares take the places of their
// markers in options before anything is checked or hashed.
//
// The error is of type Errors and holds everything that is wrong, not only the
// first thing. The data must not be changed afterwards: the manifest refers to
// it.
func Load(file string, data []byte, catalog Catalog, options ...Option) (*Manifest, error) {
	l := &loader{catalog: catalog, stages: map[*Stage]*node{}}
	for _, o := range options {
		o(l)
	}
	text, root, r := readText(file, data, 0)
	l.text, l.reporter = text, r
	var main *pipeline
	if root != nil {
		l.manifest = &Manifest{File: file, Data: data, Index: text.Index}
		l.manifest.given = l.given
		main = l.document(root)
	}
	found := l.reporter.list
	var env *pipeline
	var runner string
	args := l.args
	if l.env != nil {
		l.args = nil
		text, root, r := readText(l.env.file, l.env.data, 1)
		l.text, l.reporter = text, r
		if root != nil {
			env, runner = l.environment(root)
		}
		found = append(found, l.reporter.list...)
	}
	if len(found) > 0 {
		return nil, found.sorted()
	}
	if l.env != nil {
		innermost := main.innermost()
		innermost.build, innermost.runner = env, runner
	}
	l.manifest.Args = args.public()
	l.lower(main)
	return l.manifest, nil
}

// loader reads one manifest and its build environment.
type loader struct {
	catalog  Catalog
	env      *envFile
	manifest *Manifest
	// v1 says that the manifest is of format v1 and not the form of 2019.
	v1 bool
	// stages holds the options of each stage; they may be nil.
	stages map[*Stage]*node
	// given are the build arguments of the build.
	given map[string]string
	// outline says that an argument that is not given is no error.
	outline bool

	// The file that is being read.
	*reporter
	text *Text
	// args are nil where there are no build arguments.
	args *arguments
}

// Top-level keys that are for other programs.
var ignoredKeys = []string{"syntax", "$schema"}

// document reads the top level.
func (l *loader) document(root *node) *pipeline {
	if !l.want(root, "", "the manifest", kindObject) {
		return nil
	}
	if l.isV2(root) {
		return nil
	}
	for _, key := range ignoredKeys {
		if n := root.get(key); n != nil {
			l.want(n, "/"+key, strconv.Quote(key), kindString)
		}
	}
	l.declare(root)
	l.v1 = root.get("pipeline") != nil || root.get("sources") != nil
	if !l.v1 {
		l.manifest.Format = Format2019
		p := l.pipeline(root, "", true)
		l.manifest.Name = p.name
		return p
	}
	l.manifest.Format = FormatV1
	l.keys(root, "", "manifest of format v1", []string{"pipeline", "sources", "args"}, ignoredKeys, map[string]string{
		"stages":    `in format v1 it stands inside "pipeline"`,
		"build":     `in format v1 it stands inside "pipeline"`,
		"assembler": `in format v1 it stands inside "pipeline"`,
		"version":   "format v1 is written without it; remove it",
	})
	if sources := root.get("sources"); sources != nil {
		l.sources(sources)
	}
	main := &pipeline{text: l.text}
	if n := root.get("pipeline"); n != nil {
		main = l.pipeline(n, "/pipeline", true)
	}
	return main
}

// isV2 reports and recognises format v2 and versions that do not exist.
func (l *loader) isV2(root *node) bool {
	version, pipelines := root.get("version"), root.get("pipelines")
	switch {
	case version != nil && version.text == "2" || version == nil && pipelines != nil:
		n, pointer := version, "/version"
		if n == nil {
			n, pointer = pipelines, "/pipelines"
		}
		l.key(n, pointer, `write it as format v1, with "pipeline" and "sources"`, "format v2 is not supported yet")
		return true
	case version != nil && version.text != "1":
		l.value(version, "/version", `remove it: the formats that can be read have no "version"`,
			"unknown format version %s", describe(version))
		return true
	}
	return false
}

// environment reads the file of the build environment.
func (l *loader) environment(root *node) (*pipeline, string) {
	if !l.want(root, "", "the build environment", kindObject) {
		return nil, ""
	}
	if root.get("pipeline") == nil && root.get("runner") == nil {
		return l.pipeline(root, "", false), ""
	}
	return l.wrapped(root, "")
}

// describe says what a value is, for "found …".
func describe(n *node) string {
	switch n.kind {
	case kindString:
		return quote(n.text)
	case kindNumber, kindBool:
		return clip(n.text, maxQuoted)
	}
	return n.kind.String()
}

// want checks the kind of a value and reports another one.
func (l *loader) want(n *node, pointer, what string, kinds ...nodeKind) bool {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		if n.kind == k {
			return true
		}
		names[i] = k.String()
	}
	l.value(n, pointer, "", "%s must be %s, found %s", what, list(names, "or"), n.kind)
	return false
}

// keys reports the members that an object may not have. The hints are for keys
// that people are known to write.
func (l *loader) keys(n *node, pointer, what string, allowed, ignored []string, hints map[string]string) {
	for _, kid := range n.kids {
		if slices.Contains(allowed, kid.key) || slices.Contains(ignored, kid.key) {
			continue
		}
		if l.full() {
			return
		}
		hint := hints[kid.key]
		if hint == "" {
			hint = didYouMean(kid.key, allowed)
		}
		if hint == "" {
			hint = "its keys are " + strings.Join(allowed, ", ")
		}
		l.key(kid, JoinPointer(pointer, kid.key), hint, "unknown key %s in the %s", quote(kid.key), what)
	}
}

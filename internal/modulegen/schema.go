package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/module"
)

// schemaFile is the schema of whole manifests, below the root of the
// repository, and schemaID its address.
const (
	schemaFile = "schema/osbuildkit.schema.json"
	schemaID   = "https://github.com/osbuildkit/osbuildkit/raw/main/" + schemaFile
	pagesURL   = "https://github.com/osbuildkit/osbuildkit/blob/main/docs/modules/"
)

// object is a part of a JSON schema. Its keys are written sorted.
type object = map[string]any

// builder makes the schema. Each definition is there twice: for manifests
// without build arguments, where options are what they seem, and for those
// with "args", where markers may stand in their places. One definition for
// both would let markers pass where they are none, and editors say less about
// values that can have two forms.
type builder struct {
	catalog *catalog.Catalog
	defs    object
}

// manifestSchema returns the schema of whole manifests. It keeps to what the
// validator of VS Code has: no dynamic references, nothing unevaluated, no
// keyword beside a reference.
func manifestSchema(c *catalog.Catalog) ([]byte, error) {
	b := &builder{catalog: c, defs: object{"marker": marker(), "args": args(), "sources": sources()}}
	for _, marked := range []bool{false, true} {
		for _, kind := range []module.Kind{module.Stage, module.Assembler} {
			if err := b.module(kind, marked); err != nil {
				return nil, err
			}
		}
		b.pipelines(marked)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         schemaID,
		"$comment":    `Made from the modules and the types of their options by "go generate ./..."; do not edit.`,
		"title":       "Manifest of osbuildkit",
		"description": "An operating system image: a pipeline of stages and an assembler.",
		"type":        "object",
		// The formats have different keys. An editor knows these two even where
		// nothing says yet which format it is.
		"properties": object{
			"pipeline": object{"type": "object", "description": "The pipeline, in format v1."},
			"sources":  object{"type": "object", "description": "What the pipeline gets from elsewhere, in format v1."},
		},
		"if":    object{"required": []string{"args"}},
		"then":  oneFormat(true),
		"else":  oneFormat(false),
		"$defs": b.defs,
	})
	return out.Bytes(), err
}

// oneFormat chooses between the form of 2019 and format v1 as the reader does.
func oneFormat(marked bool) object {
	return object{
		"if":   object{"anyOf": []any{object{"required": []string{"pipeline"}}, object{"required": []string{"sources"}}}},
		"then": ref("manifest-v1", marked),
		"else": ref("manifest-2019", marked),
	}
}

// name returns the name of a definition.
func name(def string, marked bool) string {
	if marked {
		return def + "-with-args"
	}
	return def
}

func ref(def string, marked bool) object { return object{"$ref": "#/$defs/" + name(def, marked)} }

func text(description string) object {
	return object{"type": "string", "description": description}
}

// pipelines defines what stands around stages, in both formats.
func (b *builder) pipelines(marked bool) {
	define := func(def string, schema object) { b.defs[name(def, marked)] = schema }
	// A schema beside a reference does not count in all editors, so what a
	// key is for is said in a schema around the reference. The types are what
	// an editor writes behind the key.
	described := func(description, def string, null bool) object {
		s := object{"description": description, "type": "object", "allOf": []any{ref(def, marked)}}
		if null {
			s["type"] = []string{"object", "null"}
			s["anyOf"] = []any{ref(def, marked), object{"type": "null"}}
			delete(s, "allOf")
		}
		return s
	}
	stages := object{"type": "array", "description": "What is done to the tree, in this order.", "items": ref("stage", marked)}
	assembler := described("What makes files of the finished tree.", "assembler", true)
	build := func(format string) object {
		return described("The build root: the file system whose programs stages and assembler run. Without it, that is the toolbox.",
			"build-"+format, true)
	}
	base := object{"type": []string{"string", "null"}, "pattern": "^[0-9a-f]{64}$",
		"description": "The id of a finished tree in the store that the stages go on from."}
	label := text("A name for people. It has no effect.")
	runner := text("The runner of osbuild, such as org.osbuild.linux.")
	head := func(more object) object {
		more["$schema"] = text("The address of this schema, for editors.")
		more["syntax"] = text("The image with which BuildKit reads the file, such as osbuildkit/frontend:1.")
		more["args"] = object{"$ref": "#/$defs/args"}
		return more
	}
	closed := func(properties object) object {
		return object{"type": "object", "additionalProperties": false, "properties": properties}
	}

	define("manifest-2019", closed(head(object{
		"name": label, "base": base, "build": build("2019"), "stages": stages, "assembler": assembler})))
	define("manifest-v1", closed(head(object{
		"pipeline": described("The pipeline.", "pipeline-v1", false),
		"sources":  object{"$ref": "#/$defs/sources"}})))
	define("pipeline-v1", closed(object{"build": build("v1"), "stages": stages, "assembler": assembler}))
	none := object{"type": "null", "doNotSuggest": true, "description": "A build root is a tree and has no assembler."}
	define("tree-2019", closed(object{"name": label, "base": base, "build": build("2019"), "stages": stages, "assembler": none}))
	define("tree-v1", closed(object{"build": build("v1"), "stages": stages, "assembler": none}))
	const treeOfBuild = "The pipeline of the build root."
	wrapped := func(pipeline object, required ...string) object {
		s := closed(object{"runner": runner, "pipeline": pipeline})
		s["required"] = required
		return s
	}
	define("build-2019", object{
		"type": "object",
		// As at the top, both forms are offered.
		"properties": object{"runner": runner, "pipeline": object{"type": []string{"object", "null"}, "description": treeOfBuild}},
		"if":         object{"anyOf": []any{object{"required": []string{"pipeline"}}, object{"required": []string{"runner"}}}},
		"then":       wrapped(described(treeOfBuild, "tree-2019", true), "runner"),
		"else":       ref("tree-2019", marked),
	})
	define("build-v1", wrapped(described(treeOfBuild, "tree-v1", false), "pipeline", "runner"))
}

// module defines the stages or the assemblers: a schema for one that chooses
// that of the options by the name.
func (b *builder) module(kind module.Kind, marked bool) error {
	names := []any{}
	choices := []any{}
	for _, n := range b.catalog.Names(kind) {
		h, err := b.catalog.Help(kind, n)
		if err != nil {
			return err
		}
		options, empty, err := b.options(h)
		if err != nil {
			return fmt.Errorf("the schema of the %s %s: %w", kind, n, err)
		}
		if marked {
			options = withMarkers(options).(object)
		}
		def := string(kind) + "-" + n
		b.defs[name(def, marked)] = options
		then := object{"properties": object{"options": ref(def, marked)}}
		if !empty {
			then["required"] = []string{"options"}
		}
		choices = append(choices, object{
			"if":   object{"required": []string{"name"}, "properties": object{"name": object{"const": n}}},
			"then": then,
		})
		names = append(names, object{
			"const": n, "description": h.Summary,
			"markdownDescription": h.Summary + "\n\n[Options](" + pagesURL + n + ".md)",
		})
	}
	names = append(names, object{
		"type": "string", "description": "A module of your own.",
		"pattern": `^[A-Za-z0-9_][A-Za-z0-9._-]*$`,
		"not":     object{"pattern": `^org\.osbuild(kit)?\.`},
	})
	b.defs[name(string(kind), marked)] = object{
		"type": "object", "required": []string{"name"}, "additionalProperties": false,
		"properties": object{
			"name":    object{"description": "Which " + string(kind) + " it is.", "anyOf": names},
			"options": object{"type": []string{"object", "null"}, "description": "The options of the " + string(kind) + "."},
		},
		"allOf": choices,
	}
	return nil
}

// options returns the schema of a module's options as a part of a larger one,
// and whether they may be left out.
func (b *builder) options(h *catalog.Help) (options object, empty bool, err error) {
	data, _ := b.catalog.Schema(h.Kind, h.Name)
	if err := json.Unmarshal(data, &options); err != nil {
		return nil, false, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("options.json", any(options)); err != nil {
		return nil, false, err
	}
	compiled, err := c.Compile("options.json")
	if err != nil {
		return nil, false, err
	}
	delete(options, "$schema")
	delete(options, "title")
	options["description"] = h.Summary
	options["markdownDescription"] = h.Summary + "\n\n[Options](" + pagesURL + h.Name + ".md)"
	var example any
	if h.Example != nil {
		if err := json.Unmarshal(h.Example, &example); err != nil {
			return nil, false, fmt.Errorf("the example: %w", err)
		}
		options["examples"] = []any{example}
	}
	if empty = compiled.Validate(object{}) == nil; empty {
		options["type"] = []string{"object", "null"}
	}
	return options, empty, nil
}

// withMarkers returns the schema of options in which each value may be a
// marker. All options together may not, so the outermost schema stays.
//
// A condition ("if", "not") stays as well: a marker is not what it asks for.
func withMarkers(v any) any {
	s, ok := v.(object)
	if !ok {
		return v
	}
	out := object{}
	for key, value := range s {
		switch key {
		case "properties", "patternProperties":
			inner := object{}
			for k, p := range value.(object) {
				inner[k] = orMarker(p)
			}
			value = inner
		case "items", "additionalProperties":
			value = orMarker(value)
		case "then", "else":
			value = withMarkers(value)
		case "oneOf", "anyOf", "allOf":
			var list []any
			for _, one := range value.([]any) {
				list = append(list, withMarkers(one))
			}
			// What a marker stands for decides between forms that differ in
			// values, so with it more than one may fit.
			if key == "oneOf" && slices.ContainsFunc(value.([]any), aboutValues) {
				key = "anyOf"
			}
			value = list
		}
		out[key] = value
	}
	return out
}

// aboutValues says whether a schema says more than which keys there are.
func aboutValues(v any) bool {
	s, ok := v.(object)
	for key := range s {
		ok = ok && slices.Contains([]string{"required", "title", "description"}, key)
	}
	return !ok
}

// orMarker returns a schema that takes a marker as well. What people read about
// a value stays on the outside, where editors look for it, and so do the types:
// the first is what they write behind a new key.
func orMarker(v any) any {
	s, ok := v.(object)
	if !ok {
		return v
	}
	s = withMarkers(s).(object)
	out := object{}
	for _, key := range []string{"description", "default", "examples"} {
		if value, ok := s[key]; ok {
			out[key] = value
			delete(s, key)
		}
	}
	var types []any
	switch t := s["type"].(type) {
	case string:
		types = []any{t}
	case []any:
		types = slices.Clone(t)
	}
	if len(types) > 0 {
		if !slices.Contains(types, any("object")) {
			types = append(types, "object")
		}
		out["type"] = types
	}
	out["anyOf"] = []any{s, object{"$ref": "#/$defs/marker"}}
	return out
}

// marker is what stands in the place of a value.
func marker() object {
	return object{
		"type": "object", "description": "The value of a build argument.",
		"additionalProperties": false, "minProperties": 1, "maxProperties": 1,
		"properties": object{
			"$arg": object{"type": "string", "pattern": argName, "maxLength": 64,
				"description": "The name of a build argument, whose value stands here with its type."},
			"$format":  text("A text, in which ${NAME} is replaced by the value of a build argument."),
			"$literal": object{"description": "A value in which nothing is a marker."},
		},
	}
}

const argName = "^[A-Za-z_][A-Za-z0-9_]*$"

// anyCase returns a pattern for words in upper and lower case.
func anyCase(words ...string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte('|')
		}
		for _, r := range w {
			if lower := strings.ToLower(string(r)); lower != string(r) {
				b.WriteString("[" + string(r) + lower + "]")
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// args is the declaration of build arguments.
func args() object {
	return object{
		"type":          "object",
		"description":   "What can be given with --build-arg NAME=VALUE. Options refer to it with {\"$arg\": \"NAME\"} and {\"$format\": \"…${NAME}…\"}.",
		"maxProperties": 256,
		"propertyNames": object{
			"pattern": argName, "maxLength": 64,
			"not": object{"pattern": "^(BUILDKIT_.*|OSBUILDKIT_.*|" + anyCase("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY") +
				"|TARGET(PLATFORM|OS|ARCH|VARIANT|STAGE)|BUILD(PLATFORM|OS|ARCH|VARIANT))$"},
		},
		"properties":           object{"SOURCE_DATE_EPOCH": arg("integer")},
		"additionalProperties": arg("string", "integer", "number", "boolean"),
	}
}

// arg is the declaration of one build argument that may have these types.
func arg(types ...string) object {
	var choices []any
	for _, t := range types {
		value := object{"type": t}
		properties := object{"default": value, "enum": object{"items": value}}
		if t != "string" {
			properties["pattern"] = object{"not": object{}}
		}
		choices = append(choices, object{
			"if":   object{"required": []string{"type"}, "properties": object{"type": object{"const": t}}},
			"then": object{"properties": properties},
		})
	}
	return object{
		"type": "object", "required": []string{"type"}, "additionalProperties": false,
		"properties": object{
			"type":        object{"enum": types, "description": "The type of the value."},
			"default":     object{"description": "The value without one given. Without a default the argument must be given."},
			"enum":        object{"type": "array", "minItems": 1, "maxItems": 100, "description": "The values that are allowed."},
			"pattern":     text("A regular expression (RE2) that a string must match somewhere: write ^ and $ to match all of it."),
			"description": text("What the argument is for. Its first sentence is shown with an error of the pattern."),
		},
		"allOf": choices,
	}
}

// sources are those of format v1.
func sources() object {
	const checksums = `sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}`
	source := func(description, key, names string, item object) object {
		return object{
			"type": "object", "description": description, "required": []string{key}, "additionalProperties": false,
			"properties": object{
				key: object{"type": "object", "description": "The items by what identifies them.",
					"propertyNames": object{"pattern": names}, "additionalProperties": item},
				"options": object{"type": "object", "description": "Options of the source."},
			},
		}
	}
	url := object{"type": []string{"string", "object"}, "description": "Where the file is.",
		"required": []string{"url"}, "additionalProperties": false,
		"properties": object{
			"url":      text("The address of the file."),
			"insecure": object{"type": "boolean", "description": "Whether the server's certificate is not checked."},
			"secrets":  object{"type": "object", "description": "What is needed to get the file."},
		}}
	anyItem := object{"type": "object"}
	return object{
		"type": "object", "description": "What the pipeline gets from elsewhere.", "additionalProperties": false,
		"properties": object{
			"org.osbuild.curl":    source("Files by their checksum.", "urls", "^(md5:[0-9a-f]{32}|"+checksums+")$", url),
			"org.osbuild.files":   source("Files by their checksum: the older name of org.osbuild.curl.", "urls", "^(md5:[0-9a-f]{32}|"+checksums+")$", url),
			"org.osbuild.librepo": source("Packages of repositories by their checksum.", "items", "^("+checksums+")$", anyItem),
			"org.osbuild.ostree":  source("Commits of OSTree.", "commits", "^[0-9a-f]{5,64}$", anyItem),
		},
	}
}

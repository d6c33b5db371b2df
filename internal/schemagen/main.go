package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"reflect"
	"regexp"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/internal/genfiles"
)

const importPath = "github.com/osbuildkit/osbuildkit"

func main() { genfiles.Main("schemagen", schemas()) }

// schemas are the generated files.
func schemas() genfiles.Set {
	s := genfiles.Set{Files: Generate}
	for _, p := range catalog.Packages() {
		s.Patterns = append(s.Patterns, path.Join(p.Dir, "schema", "*.json"))
	}
	return s
}

// Generate returns the schemas of all modules that have options: the content
// by the name of the file, relative to root, the root of the repository.
func Generate(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, p := range catalog.Packages() {
		comments, err := readComments(root, p.Dir)
		if err != nil {
			return nil, err
		}
		for _, m := range p.Modules() {
			if m.Internal() {
				continue
			}
			data, err := schemaOf(m.Options(), m.Summary, comments)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Name, err)
			}
			files[path.Join(p.Dir, "schema", m.Name+".json")] = data
		}
	}
	return files, nil
}

// schemaOf makes the schema of the options v, a pointer.
func schemaOf(v any, title string, comments map[string]string) ([]byte, error) {
	var bad error
	newReflector := func() *jsonschema.Reflector {
		return &jsonschema.Reflector{
			Anonymous:                  true,
			DoNotReference:             true,
			ExpandedStruct:             true,
			RequiredFromJSONSchemaTags: true,
			CommentMap:                 comments,
		}
	}
	var mapper func(t reflect.Type) *jsonschema.Schema
	mapper = func(t reflect.Type) *jsonschema.Schema {
		switch x := reflect.Zero(t).Interface().(type) {
		case interface{ JSONSchemaText() string }:
			s := new(jsonschema.Schema)
			// The library's type has no place for a list of types.
			if err := json.Unmarshal([]byte(x.JSONSchemaText()), &s.Extras); err != nil {
				bad = errors.Join(bad, fmt.Errorf("the schema text of %s: %w", t, err))
			}
			return s
		case interface{ KeyPattern() string }:
			r := newReflector()
			r.Mapper = mapper
			elem := r.ReflectFromType(t.Elem())
			elem.Version = ""
			return &jsonschema.Schema{
				Type:                 "object",
				PropertyNames:        &jsonschema.Schema{Pattern: x.KeyPattern()},
				AdditionalProperties: elem,
			}
		}
		return nil
	}
	r := newReflector()
	r.Mapper = mapper
	s := r.Reflect(v)
	if s.Title == "" && title != "" {
		s.Title = title
		s.Description = strings.TrimSpace(capital(title) + ". " + s.Description)
	}
	data, err := json.Marshal(s)
	if err = errors.Join(err, bad); err != nil {
		return nil, err
	}
	return indent(data)
}

// indent formats a schema as it is committed.
func indent(data []byte) ([]byte, error) {
	var plain, out bytes.Buffer
	// Descriptions hold the line breaks of the comments; paragraphs stay.
	plain.Write(lineBreak.ReplaceAll(data, []byte("$1 $2")))
	if err := json.Indent(&out, plain.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	text := out.String()
	for from, to := range map[string]string{`\u003c`: "<", `\u003e`: ">", `\u0026`: "&"} {
		text = strings.ReplaceAll(text, from, to)
	}
	return []byte(text), nil
}

var lineBreak = regexp.MustCompile(`([^\\n])\\n([^\\ \t])`)

// readComments reads the doc comments of the package in directory dir below
// root as texts for users, under the names that the reflector looks them up by.
func readComments(root, dir string) (map[string]string, error) {
	// The library derives the import path from the path it is given, so the
	// comments are read from the root.
	old, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if err := os.Chdir(root); err != nil {
		return nil, err
	}
	defer os.Chdir(old) //nolint:errcheck // it was the working directory just now
	r := new(jsonschema.Reflector)
	if err := r.AddGoComments(importPath, "./"+dir, jsonschema.WithFullComment()); err != nil {
		return nil, fmt.Errorf("reading the comments of %s: %w", dir, err)
	}
	for key, comment := range r.CommentMap {
		r.CommentMap[key] = userText(key[strings.LastIndexByte(key, '.')+1:], comment)
	}
	return r.CommentMap, nil
}

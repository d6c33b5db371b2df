package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/osbuildkit/osbuildkit/catalog"
)

const importPath = "github.com/osbuildkit/osbuildkit"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 1 {
		return errors.New("usage: schemagen [ROOT]")
	}
	root, err := findRoot()
	if len(args) == 1 {
		root, err = args[0], nil
	}
	if err != nil {
		return err
	}
	files, err := Generate(root)
	if err != nil {
		return err
	}
	stale, err := Stale(root, files)
	if err != nil {
		return err
	}
	for _, name := range stale {
		full := filepath.Join(root, name)
		data, keep := files[name]
		if !keep {
			err = os.Remove(full)
		} else {
			err = os.WriteFile(full, data, 0o644)
		}
		if err != nil {
			return err
		}
		fmt.Println(name)
	}
	return nil
}

func findRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the current directory; give the root of the repository")
		}
	}
	return "", err
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

// Stale lists the schema files below root that differ from files, are missing
// or are no longer wanted, sorted.
func Stale(root string, files map[string][]byte) ([]string, error) {
	var stale []string
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if !bytes.Equal(got, want) {
			stale = append(stale, name)
		}
	}
	for _, p := range catalog.Packages() {
		found, err := filepath.Glob(filepath.Join(root, p.Dir, "schema", "*.json"))
		if err != nil {
			return nil, err
		}
		for _, full := range found {
			name := path.Join(p.Dir, "schema", filepath.Base(full))
			if _, ok := files[name]; !ok {
				stale = append(stale, name)
			}
		}
	}
	slices.Sort(stale)
	return stale, nil
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
// root, under the names that the reflector looks them up by.
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
	return r.CommentMap, nil
}

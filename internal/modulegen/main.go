package main

import (
	"path"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/internal/genfiles"
)

// dir holds the pages, below the root of the repository.
const dir = "docs/modules"

// files are the generated files.
var files = genfiles.Set{Files: generate, Patterns: []string{dir + "/*.md", path.Join(path.Dir(schemaFile), "*.json")}}

func main() { genfiles.Main("modulegen", files) }

// generate returns the files.
func generate(string) (map[string][]byte, error) {
	out := map[string][]byte{}
	c := catalog.Builtin()
	schema, err := manifestSchema(c)
	if err != nil {
		return nil, err
	}
	out[schemaFile] = schema
	pages, err := c.Pages()
	if err != nil {
		return nil, err
	}
	for name, text := range pages {
		out[path.Join(dir, name)] = []byte(text)
	}
	return out, nil
}

package main

import (
	"path"

	"github.com/osbuildkit/osbuildkit/internal/genfiles"
	"github.com/osbuildkit/osbuildkit/lint"
)

// dir holds the pages, below the root of the repository.
const dir = "docs/lint"

// pages are the generated files.
var pages = genfiles.Set{Files: generate, Patterns: []string{dir + "/*.md"}}

func main() { genfiles.Main("lintgen", pages) }

// generate returns the pages.
func generate(string) (map[string][]byte, error) {
	files := map[string][]byte{path.Join(dir, "README.md"): []byte(lint.Index())}
	for _, r := range lint.Rules() {
		files[path.Join(dir, r.Name+".md")] = []byte(r.Page())
	}
	return files, nil
}

package main

import (
	"github.com/osbuildkit/osbuildkit/internal/cli"
	"github.com/osbuildkit/osbuildkit/internal/genfiles"
)

// pages are the generated files.
var pages = genfiles.Set{Files: generate}

func main() { genfiles.Main("docgen", pages) }

// generate returns the pages.
func generate(string) (map[string][]byte, error) {
	return map[string][]byte{"docs/commands.md": cli.Reference()}, nil
}

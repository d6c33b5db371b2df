package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/osbuildkit/osbuildkit/lint"
)

// dir holds the pages, below the root of the repository.
const dir = "docs/lint"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lintgen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 1 {
		return errors.New("usage: lintgen [ROOT]")
	}
	root, err := findRoot()
	if len(args) == 1 {
		root, err = args[0], nil
	}
	if err != nil {
		return err
	}
	files := Generate()
	stale, err := Stale(root, files)
	if err != nil {
		return err
	}
	for _, name := range stale {
		full := filepath.Join(root, name)
		data, keep := files[name]
		if !keep {
			err = os.Remove(full)
		} else if err = os.MkdirAll(filepath.Dir(full), 0o755); err == nil {
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
	at, err := os.Getwd()
	for ; err == nil; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", errors.New("no go.mod above the current directory; give the root of the repository")
		}
	}
	return "", err
}

// Generate returns the pages: the content by the name of the file, relative to
// the root of the repository.
func Generate() map[string][]byte {
	files := map[string][]byte{path.Join(dir, "README.md"): []byte(lint.Index())}
	for _, r := range lint.Rules() {
		files[path.Join(dir, r.Name+".md")] = []byte(r.Page())
	}
	return files
}

// Stale lists the pages below root that differ from files, are missing or are
// no longer wanted, sorted.
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
	found, err := filepath.Glob(filepath.Join(root, dir, "*.md"))
	if err != nil {
		return nil, err
	}
	for _, full := range found {
		if name := path.Join(dir, filepath.Base(full)); files[name] == nil {
			stale = append(stale, name)
		}
	}
	slices.Sort(stale)
	return stale, nil
}

package genfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Set is a set of generated files.
type Set struct {
	// Files returns the content of each file by its name. Names are relative
	// to root, the root of the repository.
	Files func(root string) (map[string][]byte, error)
	// Patterns match the names of all files of this kind, wanted or not, as
	// filepath.Glob does.
	Patterns []string
}

// Main is the main function of a generator: it brings the files below the root
// up to date and prints the names of those that it has changed. The root is
// its argument, or the directory above the current one that holds go.mod.
func Main(name string, s Set) {
	if err := s.Run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Run does what Main does, with the arguments args.
func (s Set) Run(args []string, out io.Writer) error {
	if len(args) > 1 {
		return errors.New("give at most one argument, the root of the repository")
	}
	root, err := Root()
	if len(args) == 1 {
		root, err = args[0], nil
	}
	if err != nil {
		return err
	}
	files, err := s.Files(root)
	if err != nil {
		return err
	}
	stale, err := s.stale(root, files)
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
		fmt.Fprintln(out, name)
	}
	return nil
}

// Root returns the root of the repository that the current directory is in.
func Root() (string, error) {
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

// Stale lists the files below root that differ from what they are to be, are
// missing, or are no longer wanted, sorted.
func (s Set) Stale(root string) ([]string, error) {
	files, err := s.Files(root)
	if err != nil {
		return nil, err
	}
	return s.stale(root, files)
}

func (s Set) stale(root string, files map[string][]byte) ([]string, error) {
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
	for _, pattern := range s.Patterns {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, full := range found {
			name, err := filepath.Rel(root, full)
			if err != nil {
				return nil, err
			}
			if _, ok := files[filepath.ToSlash(name)]; !ok {
				stale = append(stale, filepath.ToSlash(name))
			}
		}
	}
	slices.Sort(stale)
	return stale, nil
}

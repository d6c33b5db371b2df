package fsread

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Limits of what is followed. The names of all directories above a file are held
// while it is looked at.
const (
	maxLinks   = 40
	maxEntries = 20 << 20
	maxDeep    = 2000
)

// SkipDir as the result of the function of Walk leaves out a directory.
var SkipDir = errors.New("skip this directory")

// Walk calls fn for all files in the order of their names, directories before
// what is in them, the root with the path "/". What cannot be read ends it. A
// directory that has two names is an error: on a sound file system none has.
func Walk(f FS, fn func(name string, number uint64, n *Node) error) error {
	w := &walker{f: f, fn: fn, seen: map[uint64]bool{}}
	return w.visit("/", f.Root(), 0)
}

type walker struct {
	f     FS
	fn    func(string, uint64, *Node) error
	seen  map[uint64]bool
	count int
}

func (w *walker) visit(name string, number uint64, depth int) error {
	if depth > maxDeep {
		return fmt.Errorf("a file in more than %d directories %w", maxDeep, ErrUnsupported)
	}
	if w.count++; w.count > maxEntries {
		return damaged("there are over %d files", maxEntries)
	}
	n, err := w.f.Node(number)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n.Type() != TypeDir {
		return w.fn(name, number, n)
	}
	if w.seen[number] {
		return damaged("the directory %q is found twice", name)
	}
	w.seen[number] = true
	if err := w.fn(name, number, n); err != nil {
		if errors.Is(err, SkipDir) {
			err = nil
		}
		return err
	}
	entries, err := w.f.ReadDir(number)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	for _, e := range entries {
		if err := w.visit(path.Join(name, e.Name), e.Number, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Lookup finds a path, whose symbolic links lead through the file system and
// never out of it. The last part is followed too if follow says so. It returns
// the number and the path without links.
func Lookup(f FS, name string, follow bool) (uint64, string, error) {
	todo := split(name)
	var numbers []uint64 // of the directories that were entered
	var names []string
	number, links := f.Root(), 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == ".." {
			if len(names) > 0 {
				number = numbers[len(numbers)-1]
				names, numbers = names[:len(names)-1], numbers[:len(numbers)-1]
			}
			continue
		}
		next, err := child(f, number, part)
		if err != nil {
			return 0, "", fmt.Errorf("/%s: %w", strings.Join(append(names, part), "/"), err)
		}
		n, err := f.Node(next)
		if err != nil {
			return 0, "", fmt.Errorf("/%s: %w", strings.Join(append(names, part), "/"), err)
		}
		if n.Type() == TypeLink && (follow || len(todo) > 0) {
			if links++; links > maxLinks {
				return 0, "", fmt.Errorf("%s: more than %d symbolic links", name, maxLinks)
			}
			if strings.HasPrefix(n.Target, "/") {
				number, names, numbers = f.Root(), nil, nil
			}
			todo = append(split(n.Target), todo...)
			if len(todo) > 4096 {
				return 0, "", fmt.Errorf("%s: the path is too long", name)
			}
			continue
		}
		names, numbers = append(names, part), append(numbers, number)
		number = next
	}
	return number, "/" + strings.Join(names, "/"), nil
}

// split returns the parts of a path but for empty ones and ".".
func split(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(s string) bool { return s == "" || s == "." })
}

// child finds a name in a directory.
func child(f FS, number uint64, name string) (uint64, error) {
	n, err := f.Node(number)
	if err != nil {
		return 0, err
	}
	if n.Type() != TypeDir {
		return 0, ErrNotExist
	}
	entries, err := f.ReadDir(number)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if e.Name == name || sameName(f, number, e.Name, name) {
			return e.Number, nil
		}
	}
	return 0, ErrNotExist
}

package fsread

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/limit"
)

// maxLinks is how many symbolic links a path may lead over, as for Linux.
const maxLinks = 40

// SkipDir as the result of the function of Walk leaves out a directory.
var SkipDir = errors.New("skip this directory")

// Place is where a walk is.
type Place struct {
	// Number is that of the file.
	Number uint64

	names []string // of the directories and the file, without the root
}

// Name is the last part of the path; that of the root is empty.
func (p *Place) Name() string {
	if len(p.names) == 0 {
		return ""
	}
	return p.names[len(p.names)-1]
}

// Path is the path from the root. It is put together by each call.
func (p *Place) Path() string { return "/" + strings.Join(p.names, "/") }

// Walk calls fn for all files in the order of their names, directories before
// what is in them, the root with the path "/". What cannot be read ends it. A
// directory that has two names is an error: on a sound file system none has. The
// names of the directories above a file are held, and nothing of those that were
// left; the place is valid until fn returns.
func Walk(b *limit.Budget, f FS, fn func(p *Place, n *Node) error) error {
	w := &walker{budget: b, f: f, fn: fn, seen: map[uint64]bool{}}
	if err := w.visit(Entry{Number: f.Root()}); err != nil {
		return err
	}
	for len(w.stack) > 0 {
		top := &w.stack[len(w.stack)-1]
		if len(top.entries) == 0 {
			w.leave()
			continue
		}
		e := top.entries[0]
		top.entries = top.entries[1:]
		w.enter(e)
		if err := w.visit(e); err != nil {
			return err
		}
	}
	return nil
}

// level is a directory that a walk is in.
type level struct {
	entries []Entry // that are still to come
	names   int64   // bytes that they take
}

type walker struct {
	budget *limit.Budget
	f      FS
	fn     func(*Place, *Node) error
	seen   map[uint64]bool
	stack  []level
	place  Place
	path   int   // bytes of the path
	names  int64 // bytes that are held
}

// entrySize is what an entry takes besides its name.
const entrySize = 40

// enter goes to a file of the directory on top.
func (w *walker) enter(e Entry) {
	for len(w.place.names) >= len(w.stack) {
		w.path -= len(w.place.Name()) + 1
		w.place.names = w.place.names[:len(w.place.names)-1]
	}
	w.place.names = append(w.place.names, e.Name)
	w.path += len(e.Name) + 1
}

// leave ends the directory on top.
func (w *walker) leave() {
	w.names -= w.stack[len(w.stack)-1].names
	w.stack = w.stack[:len(w.stack)-1]
}

// visit looks at the file that the walk is at.
func (w *walker) visit(e Entry) error {
	if err := w.budget.Files(1); err != nil {
		return err
	}
	w.place.Number = e.Number
	at := &w.place
	switch {
	case len(at.names) > limit.MaxDepth:
		return limit.Exceeded("MaxDepth", limit.MaxDepth, "directories in one another")
	case w.path > limit.MaxPath:
		return limit.Exceeded("MaxPath", limit.MaxPath, "bytes of a path")
	}
	n, err := w.f.Node(e.Number)
	if err != nil {
		return fmt.Errorf("%s: %w", at.Path(), err)
	}
	if n.Type() != TypeDir {
		return w.fn(at, n)
	}
	if w.seen[e.Number] {
		return damaged("the directory %q is found twice", at.Path())
	}
	w.seen[e.Number] = true
	if err := w.fn(at, n); err != nil {
		if errors.Is(err, SkipDir) {
			err = nil
		}
		return err
	}
	entries, err := w.f.ReadDir(e.Number)
	if err != nil {
		return fmt.Errorf("%s: %w", at.Path(), err)
	}
	l := level{entries: entries}
	for _, e := range entries {
		l.names += int64(len(e.Name)) + entrySize
	}
	if w.names += l.names; w.names > limit.MaxNames {
		return limit.Exceeded("MaxNames", limit.MaxNames, "bytes of names of a directory and those above it")
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	w.stack = append(w.stack, l)
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
			if len(todo) > limit.MaxDepth {
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

package content

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// Lookup returns what has a path in the file system, nil if nothing has. With
// fold, names that differ only in case are the same, as in a FAT.
func (t *Tree) Lookup(name string, fold bool) *File {
	f := t.Root
	for _, part := range strings.Split(name, "/") {
		if part == "" {
			continue
		}
		i := f.index(part, fold)
		if i < 0 {
			return nil
		}
		f = f.Entries[i].File
	}
	return f
}

func (f *File) index(name string, fold bool) int {
	return slices.IndexFunc(f.Entries, func(e Name) bool { return e.Name == name || fold && strings.EqualFold(e.Name, name) })
}

// Put adds a regular file of root's that the tree does not have, and the
// directories on the way to it. Each has the label of the directory that it is
// in, as a file has that a program of the system makes.
func (t *Tree) Put(name string, data []byte, fold bool) error {
	dir := t.Root
	for _, part := range strings.Split(strings.Trim(path.Dir(name), "/"), "/") {
		if part == "" || part == "." {
			continue
		}
		if i := dir.index(part, fold); i >= 0 {
			if dir = dir.Entries[i].File; dir.Kind() != unix.S_IFDIR {
				return fmt.Errorf("%q is to be made, and %q is no directory", name, dir.Path)
			}
			continue
		}
		sub := &File{Path: path.Join(dir.Path, part), Mode: unix.S_IFDIR | 0o755, Time: t.options.Epoch, Links: 2, Attributes: inherited(dir)}
		t.insert(dir, part, sub)
		dir.Links++
		dir = sub
	}
	base := path.Base(name)
	if i := dir.index(base, fold); i >= 0 {
		return fmt.Errorf("%q is there already", name)
	}
	t.insert(dir, base, &File{
		Path: path.Join(dir.Path, base), Mode: unix.S_IFREG | 0o644, Time: t.options.Epoch, Links: 1, Size: int64(len(data)), data: data, added: true,
		Attributes: inherited(dir),
	})
	return nil
}

// inherited returns the label of a directory.
func inherited(dir *File) []Attribute {
	if i := slices.IndexFunc(dir.Attributes, func(a Attribute) bool { return a.Name == label }); i >= 0 {
		return dir.Attributes[i : i+1 : i+1]
	}
	return nil
}

func (t *Tree) insert(dir *File, name string, f *File) {
	i, _ := slices.BinarySearchFunc(dir.Entries, name, func(e Name, n string) int { return strings.Compare(e.Name, n) })
	dir.Entries = slices.Insert(dir.Entries, i, Name{name, f})
	f.blocks = (f.Size + 511) / 512
	t.usage.add(f)
	t.Files = append(t.Files, f)
}

package fsread

import (
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Mount is a file system and where it belongs.
type Mount struct {
	// Path is the directory that the file system takes the place of.
	Path string
	// FS is the file system.
	FS FS
}

// joined is several file systems as one tree. The upper bits of a number say
// which of them a node is in.
type joined struct {
	all    []FS
	covers map[uint64]uint64 // directory to the root that takes its place
}

const joinedBits = 56

// Join puts file systems into the directories of another one, as they are when
// the system runs. A mount point that does not exist is an error.
func Join(root FS, mounts []Mount) (FS, error) {
	j := &joined{all: []FS{root}, covers: map[uint64]uint64{}}
	mounts = slices.SortedFunc(slices.Values(mounts), func(a, b Mount) int { return len(split(a.Path)) - len(split(b.Path)) })
	for _, m := range mounts {
		number, _, err := Lookup(j, m.Path, true)
		if err != nil {
			return nil, fmt.Errorf("mount point %s: %w", m.Path, err)
		}
		j.all = append(j.all, m.FS)
		j.covers[number] = j.number(len(j.all)-1, m.FS.Root())
	}
	return j, nil
}

func (j *joined) number(i int, n uint64) uint64 { return uint64(i)<<joinedBits | n }

// at splits a number.
func (j *joined) at(number uint64) (FS, int, uint64, error) {
	i := int(number >> joinedBits)
	if i >= len(j.all) {
		return nil, 0, 0, damaged("node %d", number)
	}
	return j.all[i], i, number & (1<<joinedBits - 1), nil
}

// Root is that of the first file system.
func (j *joined) Root() uint64 { return j.all[0].Root() }

// Node asks the file system of the node.
func (j *joined) Node(number uint64) (*Node, error) {
	f, _, n, err := j.at(number)
	if err != nil {
		return nil, err
	}
	return f.Node(n)
}

// ReadDir replaces directories that others take the place of.
func (j *joined) ReadDir(number uint64) ([]Entry, error) {
	f, i, n, err := j.at(number)
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(n)
	for k, e := range entries {
		entries[k].Number = j.number(i, e.Number)
		if root, ok := j.covers[entries[k].Number]; ok {
			entries[k].Number = root
		}
	}
	return entries, err
}

// Open asks the file system of the file.
func (j *joined) Open(number uint64) (sparse.Source, int64, error) {
	f, _, n, err := j.at(number)
	if err != nil {
		return nil, 0, err
	}
	return f.Open(n)
}

// sameName compares names as the file system of a directory does: for FAT, case
// does not matter.
func sameName(f FS, directory uint64, a, b string) bool {
	if j, ok := f.(*joined); ok {
		f, _, _, _ = j.at(directory)
	}
	if _, ok := f.(*fat); ok {
		return strings.EqualFold(a, b)
	}
	return a == b
}

package content

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// Options says what Load is to read.
type Options struct {
	// Tree is the directory of the whole tree.
	Tree string
	// Root is the path in the tree, such as "/boot", of the directory that
	// becomes the root of the file system; empty means "/". One that the tree
	// does not have is made.
	Root string
	// Without are the paths in the tree of the directories that other file
	// systems are mounted on: they are there, and empty. Those that are not
	// below Root mean nothing.
	Without []string
	// Epoch is the time of the build in seconds since 1970: no time is later,
	// and directories have it. With 0 times are those of the tree.
	Epoch int64
	// Attributes are the extended attributes of files by their absolute paths
	// in the tree. The capabilities of the tree's files are added to them, and
	// no others that are on the builder's disk.
	Attributes map[string][]Attribute
}

// File is a file, directory, link, device or pipe.
type File struct {
	// Path is its first name, absolute in the file system.
	Path string
	// Mode is its mode, as lstat gives it.
	Mode uint32
	// UID and GID are its owner.
	UID, GID uint32
	// Time is its time in seconds since 1970.
	Time int64
	// Size is the size of a regular file in bytes.
	Size int64
	// Major and Minor are the number of a device.
	Major, Minor uint32
	// Link is the text of a link.
	Link string
	// Links is how many names it has; a directory's has its own, its "." and
	// the ".." of those in it.
	Links uint32
	// Attributes are its extended attributes, sorted by name.
	Attributes []Attribute
	// Entries are what is in a directory, sorted by name.
	Entries []Name

	// There may be very many files, so they keep no more than is needed.
	id     ID
	blocks int64  // of 512 bytes, on the builder
	data   []byte // of a file that Put has added
	added  bool
}

// TypeCode returns the number by which directories of Linux file systems tell
// what an entry is, from linux/fs_types.h.
func (f *File) TypeCode() byte {
	return byte(1 + slices.Index([]uint32{unix.S_IFREG, unix.S_IFDIR, unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFLNK}, f.Kind()))
}

// Name is an entry of a directory.
type Name struct {
	// Name is its name there.
	Name string
	// File is what has the name.
	File *File
}

// Kind returns the type bits of the mode, such as unix.S_IFREG.
func (f *File) Kind() uint32 { return f.Mode & unix.S_IFMT }

// Tree is the content of a file system.
type Tree struct {
	// Root is its root directory.
	Root *File
	// Files are all files, each once, a directory before what is in it.
	Files []*File
	// Lost are the extended attributes of the directory lost+found, which some
	// file systems have and a tree has not: those that are given for it, or the
	// label of that of the whole system.
	Lost []Attribute
	// Warnings are for a person to read.
	Warnings []string

	options Options
	dir     string // that holds the root on the builder, if any does
	usage   Usage
	byID    map[ID]*File
	byPath  map[string]*File
	known   map[string]bool // attributes that have found their file
}

// Load reads a tree but for the data of its files.
func Load(ctx context.Context, o Options) (*Tree, error) {
	o.Root = path.Join("/", o.Root)
	o.Without = slices.DeleteFunc(slices.Sorted(slices.Values(o.Without)), func(p string) bool {
		_, inside := below(o.Root, p)
		return !inside
	})
	t := &Tree{options: o, byID: map[ID]*File{}, byPath: map[string]*File{}, known: map[string]bool{}}
	dir, err := realDir(o.Tree, o.Root)
	if err != nil {
		return nil, err
	}
	if dir == "" {
		t.Root = t.addDir("/")
	} else {
		t.dir = dir
		if err := Walk(ctx, dir, t.add); err != nil {
			return nil, fmt.Errorf("reading the tree: %w", err)
		}
	}
	if err := t.mountPoints(); err != nil {
		return nil, err
	}
	return t, t.finish()
}

// realDir returns the path on the builder of a directory of the tree, empty if
// the tree has none. A link on the way would lead out of the file system.
func realDir(tree, name string) (string, error) {
	full := tree
	for _, part := range strings.Split(name, "/") {
		if part == "" {
			continue
		}
		full = filepath.Join(full, part)
		st, err := os.Lstat(full)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if !st.IsDir() {
			rel, _ := filepath.Rel(tree, full)
			return "", fmt.Errorf("a file system is to be mounted on %s, and /%s of the tree is no directory", name, rel)
		}
	}
	return full, nil
}

// inTree returns the path in the whole tree of a path in the file system.
func (t *Tree) inTree(name string) string { return path.Join(t.options.Root, name) }

// add takes up one name that the walk meets.
func (t *Tree) add(e *Entry) error {
	name := e.AbsPath()
	if e.Shared() {
		if f := t.byID[e.ID()]; f != nil {
			f.Links++
			t.enter(name, f)
			return t.attributes(name, f)
		}
	}
	f := &File{
		Path: name, Mode: e.Stat.Mode, UID: e.Stat.Uid, GID: e.Stat.Gid, Time: int64(e.Stat.Mtim.Sec), Links: 1,
		id: e.ID(), blocks: e.Stat.Blocks,
	}
	if t.options.Epoch != 0 && (f.Time > t.options.Epoch || f.Kind() == unix.S_IFDIR) {
		f.Time = t.options.Epoch
	}
	switch f.Kind() {
	case unix.S_IFREG:
		f.Size = e.Stat.Size
	case unix.S_IFLNK:
		var err error
		if f.Link, err = e.Readlink(); err != nil {
			return err
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		f.Major, f.Minor = unix.Major(e.Stat.Rdev), unix.Minor(e.Stat.Rdev)
	case unix.S_IFSOCK:
		t.Warnings = append(t.Warnings, fmt.Sprintf("%q is a socket, which means nothing in an image: left out", t.inTree(name)))
		return nil
	case unix.S_IFDIR, unix.S_IFIFO:
	default:
		return fmt.Errorf("%q is of a kind that is not known: mode %#o", t.inTree(name), e.Stat.Mode)
	}
	if e.Shared() {
		t.byID[e.ID()] = f
	}
	t.enter(name, f)
	t.usage.add(f)
	if err := t.attributes(name, f); err != nil {
		return err
	}
	if name != "/" && slices.Contains(t.options.Without, t.inTree(name)) {
		return fs.SkipDir
	}
	return nil
}

// source returns the path of a file on the builder.
func (t *Tree) source(f *File) string { return filepath.Join(t.dir, f.Path) }

// enter puts a file under a name.
func (t *Tree) enter(name string, f *File) {
	if name == "/" {
		t.Root = f
	} else {
		parent := t.byPath[path.Dir(name)]
		parent.Entries = append(parent.Entries, Name{path.Base(name), f})
	}
	if f.Path == name {
		t.Files = append(t.Files, f)
		if f.Kind() == unix.S_IFDIR {
			t.byPath[name] = f
		}
	}
}

// addDir makes a directory that the tree does not have.
func (t *Tree) addDir(name string) *File {
	f := &File{Path: name, Mode: unix.S_IFDIR | 0o755, Time: t.options.Epoch, Links: 1}
	t.enter(name, f)
	t.usage.add(f)
	return f
}

// mountPoints sees to it that the mount points of other file systems are there.
func (t *Tree) mountPoints() error {
	for _, point := range t.options.Without {
		rel, _ := below(t.options.Root, point)
		if _, err := realDir(t.options.Tree, point); err != nil {
			return err
		}
		inner := slices.ContainsFunc(t.options.Without, func(q string) bool {
			_, ok := below(q, point)
			return ok && q != point
		})
		if inner {
			continue // it is in the other file system
		}
		at := ""
		for _, part := range strings.Split(strings.Trim(rel, "/"), "/") {
			if at += "/" + part; t.byPath[at] == nil {
				t.addDir(at)
			}
		}
	}
	return nil
}

// below returns the path of name as seen from dir, if it is below it.
func below(dir, name string) (string, bool) {
	if dir == "/" {
		return name, name != "/"
	}
	rel, ok := strings.CutPrefix(name, dir+"/")
	return "/" + rel, ok
}

// attributes adds the attributes of one name of a file. Of different values of
// one attribute that of the last name holds.
func (t *Tree) attributes(name string, f *File) error {
	whole := t.inTree(name)
	attrs := t.options.Attributes[whole]
	if len(attrs) > 0 {
		t.known[whole] = true
	}
	if f.Kind() == unix.S_IFREG && f.Path == name {
		value, err := ReadCapability(t.source(f))
		if err != nil {
			return err
		}
		if value != nil && !slices.ContainsFunc(attrs, func(a Attribute) bool { return a.Name == Capability }) {
			attrs = append(slices.Clone(attrs), Attribute{Capability, value})
		}
	}
	for _, a := range attrs {
		i := slices.IndexFunc(f.Attributes, func(b Attribute) bool { return b.Name == a.Name })
		if i < 0 {
			f.Attributes = append(f.Attributes, a)
			continue
		}
		if string(f.Attributes[i].Value) != string(a.Value) {
			t.Warnings = append(t.Warnings, fmt.Sprintf("%q and %q are one file and have different attributes %s: that of the former holds", whole, t.inTree(f.Path), a.Name))
		}
		f.Attributes[i] = a
	}
	return nil
}

// ReadCapability returns the capabilities that a file on the builder has, nil if
// it has none.
func ReadCapability(name string) ([]byte, error) {
	var buf [64]byte
	n, err := unix.Lgetxattr(name, Capability, buf[:])
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "getxattr", Path: name, Err: err}
	}
	return slices.Clone(buf[:n]), nil
}

// finish brings attributes into their form, and sorts.
func (t *Tree) finish() error {
	for _, f := range t.Files {
		if f.Kind() == unix.S_IFDIR {
			slices.SortFunc(f.Entries, func(a, b Name) int { return strings.Compare(a.Name, b.Name) })
			f.Links = 2
			for _, e := range f.Entries {
				if e.File.Kind() == unix.S_IFDIR {
					f.Links++
				}
			}
		}
		var out []Attribute
		for _, a := range f.Attributes {
			a, ok, err := plain(a, f.Mode)
			if err != nil {
				return fmt.Errorf("%q: %s: %w", t.inTree(f.Path), a.Name, err)
			}
			if ok {
				out = append(out, a)
			}
		}
		slices.SortFunc(out, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
		f.Attributes = out
	}
	t.Lost = t.lost()
	missing, first := 0, ""
	for _, p := range slices.Sorted(maps.Keys(t.options.Attributes)) {
		if rel, ok := below(t.options.Root, p); !t.known[p] && path.Base(p) != LostAndFound && (ok || p == t.options.Root) && !t.elsewhere(rel) {
			if missing++; missing == 1 {
				first = p
			}
		}
	}
	if missing > 0 {
		t.Warnings = append(t.Warnings, fmt.Sprintf("there are extended attributes for %d files that do not exist, such as %q", missing, first))
	}
	t.byID, t.byPath, t.known = nil, nil, nil
	return nil
}

// LostAndFound is the name of the directory in which file system checkers put
// what has lost its name.
const LostAndFound = "lost+found"

// lost returns the attributes of lost+found.
func (t *Tree) lost() []Attribute {
	if given := t.options.Attributes[path.Join(t.options.Root, LostAndFound)]; len(given) > 0 {
		return given
	}
	// Without a label of its own it would be the only directory that has none.
	for _, a := range t.options.Attributes["/"+LostAndFound] {
		if a.Name == label && slices.ContainsFunc(t.Root.Attributes, func(b Attribute) bool { return b.Name == label }) {
			return []Attribute{a}
		}
	}
	return nil
}

// label is the attribute that holds the label of SELinux.
const label = "security.selinux"

// elsewhere reports whether a path lies in another file system.
func (t *Tree) elsewhere(name string) bool {
	return slices.ContainsFunc(t.options.Without, func(q string) bool {
		_, ok := below(q, t.inTree(name))
		return ok
	})
}

// Parents returns the directory that holds each directory of a list whose first
// file is the root; that of the root is itself.
func Parents(files []*File) map[*File]*File {
	out := map[*File]*File{files[0]: files[0]}
	for _, f := range files {
		for _, e := range f.Entries {
			if e.File.Kind() == unix.S_IFDIR {
				out[e.File] = f
			}
		}
	}
	return out
}

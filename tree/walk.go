package tree

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// maxOpen bounds the directories that a walk keeps open, as a process may have
// 1024 files. Those further up are opened again from below when it comes back.
const maxOpen = 128

// Walk calls fn for every entry below name, parents before their entries and
// siblings sorted by name; links are reported, not followed. The path given
// to fn is relative to the root of the tree, without a leading slash. Errors
// fs.SkipDir and fs.SkipAll mean what they mean for fs.WalkDir.
//
// Every step is from an open directory to a name in it, so a tree takes the time
// that its entries take, however deep it is.
func (t *Root) Walk(name string, fn func(rel string, d fs.DirEntry) error) error {
	rel, err := t.Resolve(name, true)
	if err != nil {
		return err
	}
	st, err := t.r.Lstat(rel)
	if err != nil || !st.IsDir() {
		return err
	}
	f, err := t.r.OpenFile(rel, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	w := &walk{fn: fn}
	defer w.close()
	if err := w.push(f, rel); err != nil {
		return err
	}
	for err == nil && len(w.open) > 0 {
		err = w.step()
	}
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

// walk is a walk that is under way.
type walk struct {
	fn func(rel string, d fs.DirEntry) error
	// open are the directories from the first to the one that the walk is in.
	open []*walkDir
}

// walkDir is a directory in which a walk is, or below which.
type walkDir struct {
	f   *os.File // nil if it is not open at the moment
	id  [2]uint64
	rel string
	// entries are those that are left.
	entries []fs.DirEntry
}

// push enters a directory, and takes its file.
func (w *walk) push(f *os.File, rel string) error {
	d := &walkDir{f: f, rel: rel}
	w.open = append(w.open, d)
	var err error
	if d.id, err = identity(f); err != nil {
		return err
	}
	if d.entries, err = f.ReadDir(-1); err != nil {
		return err
	}
	slices.SortFunc(d.entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	if up := len(w.open) - 1 - maxOpen; up >= 0 {
		w.open[up].f.Close()
		w.open[up].f = nil
	}
	return nil
}

func identity(f *os.File) (id [2]uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return id, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return [2]uint64{uint64(st.Dev), st.Ino}, nil
}

// pop leaves a directory for the one above it.
func (w *walk) pop() error {
	d := w.open[len(w.open)-1]
	w.open = w.open[:len(w.open)-1]
	defer d.f.Close()
	if len(w.open) == 0 || w.open[len(w.open)-1].f != nil {
		return nil
	}
	up := w.open[len(w.open)-1]
	f, err := openAt(d.f, "..", up.rel)
	if err != nil {
		return err
	}
	// Whoever moves directories meanwhile does not lead the walk elsewhere.
	if id, err := identity(f); err != nil || id != up.id {
		return errors.Join(&fs.PathError{Op: "open", Path: up.rel, Err: errors.New("the tree is being changed")}, err, f.Close())
	}
	up.f = f
	return nil
}

// close closes what is open.
func (w *walk) close() {
	for _, d := range w.open {
		if d.f != nil {
			d.f.Close()
		}
	}
}

// step visits one entry.
func (w *walk) step() error {
	d := w.open[len(w.open)-1]
	if len(d.entries) == 0 {
		return w.pop()
	}
	e := &entry{DirEntry: d.entries[0], dir: d.f}
	if e.rel = e.Name(); d.rel != "." {
		e.rel = d.rel + "/" + e.rel
	}
	d.entries = d.entries[1:]
	err := w.fn(e.rel, e)
	switch {
	case errors.Is(err, fs.SkipDir):
		if !e.IsDir() {
			d.entries = nil
		}
		return nil
	case err != nil || !e.IsDir():
		return err
	}
	f, err := openAt(d.f, e.Name(), e.rel)
	if err != nil {
		return err
	}
	return w.push(f, e.rel)
}

// openAt opens a directory by its name in another, which is no link.
func openAt(dir *os.File, name, rel string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: rel, Err: err}
	}
	return os.NewFile(uintptr(fd), rel), nil
}

// entry is an entry of a directory that is open while fn looks at it.
type entry struct {
	fs.DirEntry
	dir *os.File
	rel string
}

// Info describes the entry itself, as lstat(2) does.
func (e *entry) Info() (fs.FileInfo, error) {
	i := &info{name: e.Name()}
	if err := unix.Fstatat(int(e.dir.Fd()), e.Name(), &i.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: e.rel, Err: err}
	}
	return i, nil
}

// info is what the kernel says of a file.
type info struct {
	name string
	st   unix.Stat_t
}

func (i *info) Name() string       { return i.name }
func (i *info) Size() int64        { return i.st.Size }
func (i *info) IsDir() bool        { return i.Mode().IsDir() }
func (i *info) ModTime() time.Time { return time.Unix(i.st.Mtim.Unix()) }

// Sys returns what os.FileInfo has here.
func (i *info) Sys() any { return unix.Sys(&i.st) }

// Mode returns the type and the bits of the mode.
func (i *info) Mode() fs.FileMode {
	m := fs.FileMode(i.st.Mode & 0o777)
	if i.st.Mode&unix.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if i.st.Mode&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if i.st.Mode&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	switch i.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	}
	return m
}

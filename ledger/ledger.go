package ledger

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Limits of a ledger. Those of names and values are the kernel's.
const (
	maxPath       = 4096
	maxName       = 255
	maxValue      = 64 << 10
	maxAttributes = 256 // of one path
	maxPaths      = 4 << 20
)

// Names of the attributes with a meaning of their own.
const (
	// Label is the name of SELinux's label.
	Label = "security.selinux"
	// AccessACL is the name of a file's access control list.
	AccessACL = "system.posix_acl_access"
	// DefaultACL is the name of the list that files made in a directory get.
	DefaultACL = "system.posix_acl_default"
	// Capability is the name of a file's capabilities. Layers keep it, and so
	// it stands on the tree's files and never in a ledger.
	Capability = "security.capability"
)

// Carried reports whether attributes of this name belong into a ledger.
func Carried(name string) bool {
	for _, prefix := range []string{"security.", "user.", "trusted."} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return rest != "" && name != Capability && len(name) <= maxName && !strings.Contains(name, "\x00")
		}
	}
	return name == AccessACL || name == DefaultACL
}

// Attributes are the extended attributes of one file by their names.
type Attributes map[string][]byte

// Ledger maps the paths of a tree to attributes. A path is absolute, as seen
// from inside the tree, and has no link on its way; "/" is the tree's root.
// Methods clean the paths that they are given. The zero value is empty.
type Ledger struct {
	files map[string]Attributes
}

// clean returns the form in which paths are kept.
func clean(name string) string { return path.Clean("/" + name) }

// Len returns the number of paths that have attributes.
func (l *Ledger) Len() int { return len(l.files) }

// Paths returns all paths that have attributes, sorted by their bytes.
func (l *Ledger) Paths() []string { return slices.Sorted(maps.Keys(l.files)) }

// Lookup returns the attributes of a path, nil if it has none. The caller may
// not change them.
func (l *Ledger) Lookup(name string) Attributes { return l.files[clean(name)] }

// Set gives a path an attribute, in the place of one with the same name.
func (l *Ledger) Set(name, attribute string, value []byte) error {
	name = clean(name)
	if err := check(name, attribute, value); err != nil {
		return err
	}
	a := l.files[name]
	if a == nil {
		if len(l.files) >= maxPaths {
			return fmt.Errorf("the ledger has more than %d paths", maxPaths)
		}
		if l.files == nil {
			l.files = map[string]Attributes{}
		}
		a = Attributes{}
		l.files[name] = a
	}
	if _, old := a[attribute]; !old && len(a) >= maxAttributes {
		return fmt.Errorf("%q has more than %d extended attributes", name, maxAttributes)
	}
	a[attribute] = slices.Clone(value)
	return nil
}

// check says what is wrong with an entry whose path is clean.
func check(name, attribute string, value []byte) error {
	switch {
	case strings.Contains(name, "\x00"):
		return fmt.Errorf("the path %q holds a NUL byte", name)
	case len(name) > maxPath:
		return fmt.Errorf("the path %.80q… is longer than %d bytes", name, maxPath)
	case len(attribute) > maxName:
		return fmt.Errorf("the attribute name %.80q… is longer than %d bytes", attribute, maxName)
	case !Carried(attribute):
		return fmt.Errorf("the attribute %q does not belong into a ledger", attribute)
	case len(value) > maxValue:
		return fmt.Errorf("the value of %s of %q is longer than %d KiB", attribute, name, maxValue>>10)
	}
	return nil
}

// Unset takes an attribute from a path.
func (l *Ledger) Unset(name, attribute string) {
	name = clean(name)
	delete(l.files[name], attribute)
	if len(l.files[name]) == 0 {
		delete(l.files, name)
	}
}

// Remove forgets a path and all below it: what a module does that removes or
// replaces a file or directory.
func (l *Ledger) Remove(name string) {
	name = clean(name)
	maps.DeleteFunc(l.files, func(p string, _ Attributes) bool { return within(p, name) })
}

// Rename moves the entries of a path and of all below it. Those of what was at
// the new place are forgotten, as a rename replaces it.
func (l *Ledger) Rename(from, to string) error {
	from, to = clean(from), clean(to)
	if from == to {
		return nil
	}
	if within(to, from) || within(from, to) {
		return fmt.Errorf("%q cannot be renamed to %q: one is within the other", from, to)
	}
	l.Remove(to)
	moved := map[string]Attributes{}
	for p, a := range l.files {
		if !within(p, from) {
			continue
		}
		q := to + strings.TrimPrefix(p, from)
		if len(q) > maxPath {
			return errors.New("renamed, a path of the ledger is too long")
		}
		moved[q] = a
	}
	l.Remove(from)
	maps.Copy(l.files, moved)
	return nil
}

// within reports whether a clean path is dir or below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

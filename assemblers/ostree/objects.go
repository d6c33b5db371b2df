package ostree

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// Checksum names an object.
type Checksum [sha256.Size]byte

// String returns the checksum as hex digits.
func (c Checksum) String() string { return hex.EncodeToString(c[:]) }

// ParseChecksum reads a checksum of 64 hex digits.
func ParseChecksum(s string) (c Checksum, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(c) || s != strings.ToLower(s) {
		return c, false
	}
	return Checksum(b), true
}

// Attribute is an extended attribute.
type Attribute struct {
	Name  string
	Value []byte
}

// Meta is what OSTree keeps of a file or directory beside its content: no time.
type Meta struct {
	// UID and GID are the owner.
	UID, GID uint32
	// Mode holds the type and the permissions in the form of stat(2).
	Mode uint32
	// Attributes are the extended attributes, in any order.
	Attributes []Attribute
}

func (m Meta) attributes() member {
	sorted := slices.SortedFunc(slices.Values(m.Attributes), func(a, b Attribute) int { return cmp.Compare(a.Name, b.Name) })
	elements := make([][]byte, len(sorted))
	for i, a := range sorted {
		elements[i] = tuple(bytesOf(append([]byte(a.Name), 0)), bytesOf(a.Value))
	}
	return array(1, elements...)
}

// dirMeta is the object of a directory's metadata.
func (m Meta) dirMeta() []byte {
	return tuple(number(m.UID), number(m.GID), number(m.Mode), m.attributes())
}

// fileHeader is what the checksum of a file begins with. It holds the target
// of a link, which is empty for others.
func (m Meta) fileHeader(target string) []byte {
	return sized(tuple(number(m.UID), number(m.GID), number(m.Mode), number(0), text(target), m.attributes()))
}

// archiveHeader is what a file begins with in the mode "archive".
func (m Meta) archiveHeader(size uint64, target string) []byte {
	return sized(tuple(number64(size), number(m.UID), number(m.GID), number(m.Mode), number(0), text(target), m.attributes()))
}

// sized puts the size before a header, and aligns it to eight bytes.
func sized(header []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(header)))
	return append(pad(out, 8), header...)
}

// treeFile and treeDir are what a directory holds.
type treeFile struct {
	name string
	sum  Checksum
}

type treeDir struct {
	name       string
	tree, meta Checksum
}

// dirTree is the object of what a directory holds.
func dirTree(files []treeFile, dirs []treeDir) []byte {
	slices.SortFunc(files, func(a, b treeFile) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(dirs, func(a, b treeDir) int { return cmp.Compare(a.name, b.name) })
	f := make([][]byte, len(files))
	for i, x := range files {
		f[i] = tuple(text(x.name), bytesOf(x.sum[:]))
	}
	d := make([][]byte, len(dirs))
	for i, x := range dirs {
		d[i] = tuple(text(x.name), bytesOf(x.tree[:]), bytesOf(x.meta[:]))
	}
	return tuple(array(1, f...), array(1, d...))
}

// Commit is what a commit says beside its content.
type Commit struct {
	// Parent is the commit before it, nil without one.
	Parent *Checksum
	// Timestamp is the time in seconds since 1970.
	Timestamp int64
	// Version is the version of what is in it, or empty.
	Version string
	// Refs are the references that the commit is made for: clients refuse it
	// under another name.
	Refs []string
	// Linux is the version of the kernel in usr/lib/modules, by which tools know
	// that the commit can be booted; empty if it has none.
	Linux string
}

// object is the object of a commit of the given root.
func (c Commit) object(tree, meta Checksum) []byte {
	entries := map[string]member{}
	if c.Version != "" {
		entries["version"] = variant(text(c.Version), "s")
	}
	if len(c.Refs) > 0 {
		var refs [][]byte
		for _, r := range slices.Sorted(slices.Values(c.Refs)) {
			refs = append(refs, text(r).data)
		}
		entries["ostree.ref-binding"] = variant(array(1, refs...), "as")
	}
	if c.Linux != "" {
		entries["ostree.linux"] = variant(text(c.Linux), "s")
		entries["ostree.bootable"] = variant(member{[]byte{1}, 1, true}, "b")
	}
	var elements [][]byte
	for _, name := range []string{"ostree.ref-binding", "version", "ostree.linux", "ostree.bootable"} {
		if v, ok := entries[name]; ok {
			elements = append(elements, tuple(text(name), v))
		}
	}
	var parent []byte
	if c.Parent != nil {
		parent = c.Parent[:]
	}
	return tuple(array(8, elements...), bytesOf(parent), array(1), text(""), text(""), number64(uint64(c.Timestamp)), bytesOf(tree[:]), bytesOf(meta[:]))
}

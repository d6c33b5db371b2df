package content

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// Names of attributes that are not stored as they are given.
const (
	// Capability holds what a program may do beyond its user.
	Capability = "security.capability"
	// AccessACL is the access control list of a file.
	AccessACL = "system.posix_acl_access"
	// DefaultACL is the list that new files of a directory get.
	DefaultACL = "system.posix_acl_default"
)

// Attribute is one extended attribute of a file, as the kernel's system calls
// give and take it.
type Attribute struct {
	// Name is its full name, such as "security.selinux".
	Name string
	// Value is its value.
	Value []byte
}

// prefixes are the numbers by which ext4 and EROFS store the beginning of a name.
var prefixes = []struct {
	text  string
	index byte
	whole bool
}{
	{AccessACL, 2, true},
	{DefaultACL, 3, true},
	{"user.", 1, false},
	{"trusted.", 4, false},
	{"security.", 6, false},
}

// Short returns the name as ext4 and EROFS store it: a number for how it begins,
// and the rest, of up to 255 bytes. The number is 0 for a name that they cannot
// have.
func (a *Attribute) Short() (index byte, rest string) {
	const longest = 255
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(a.Name, p.text); ok && (rest == "") == p.whole && len(rest) <= longest {
			return p.index, rest
		}
	}
	return 0, ""
}

// Tags of the entries of an access control list, from linux/posix_acl.h.
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

// ACLEntry is one entry of an access control list.
type ACLEntry struct {
	// Tag says whom it is about.
	Tag uint16
	// Perm is what they may do, as the bits of a mode.
	Perm uint16
	// ID is the user or group of an entry that names one.
	ID uint32
}

// Named reports whether the entry names a user or a group.
func (e ACLEntry) Named() bool { return e.Tag == aclUser || e.Tag == aclGroup }

var errACL = errors.New("not a valid access control list")

// ParseACL reads a list in the form of the system calls, for a file with the
// given mode. What an access list says of owner, group class and others follows
// the mode, as it does when the kernel changes a mode; one that says no more
// than the mode comes back empty. A default list is for a directory.
func ParseACL(value []byte, mode uint32, access bool) ([]ACLEntry, error) {
	list, err := DecodeACL(value)
	if err != nil {
		return nil, err
	}
	if !access && mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, errors.New("only a directory has a default access control list")
	}
	hasMask, err := checkACL(list)
	if err != nil {
		return nil, err
	}
	if !access {
		return list, nil
	}
	if len(list) == 3 {
		return nil, nil
	}
	for i, e := range list {
		switch {
		case e.Tag == aclUserObj:
			list[i].Perm = uint16(mode >> 6 & 7)
		case e.Tag == aclMask, e.Tag == aclGroupObj && !hasMask:
			list[i].Perm = uint16(mode >> 3 & 7)
		case e.Tag == aclOther:
			list[i].Perm = uint16(mode & 7)
		}
	}
	return list, nil
}

// DecodeACL reads a list in the form of the system calls as it is.
func DecodeACL(value []byte) ([]ACLEntry, error) {
	const version, size = 2, 8
	le := binary.LittleEndian
	if len(value) < 4 || (len(value)-4)%size != 0 || le.Uint32(value) != version {
		return nil, errACL
	}
	list := []ACLEntry{}
	for e := value[4:]; len(e) > 0; e = e[size:] {
		list = append(list, ACLEntry{le.Uint16(e), le.Uint16(e[2:]), le.Uint32(e[4:])})
	}
	return list, nil
}

// EncodeACL writes a list in the form of the system calls.
func EncodeACL(list []ACLEntry) []byte {
	le := binary.LittleEndian
	out := le.AppendUint32(nil, 2)
	for _, e := range list {
		out = le.AppendUint32(le.AppendUint16(le.AppendUint16(out, e.Tag), e.Perm), e.ID)
	}
	return out
}

// checkACL checks what the kernel does before it takes a list: which entries
// there are, in which order. A file system with another list cannot be used.
func checkACL(list []ACLEntry) (hasMask bool, err error) {
	var last ACLEntry
	named := false
	seen := map[uint16]bool{}
	for _, e := range list {
		if e.Perm > 7 || e.Tag < last.Tag || e.Tag == last.Tag && (!e.Named() || e.ID <= last.ID) {
			return false, errACL
		}
		switch e.Tag {
		case aclUser, aclGroup:
			named = true
		case aclUserObj, aclGroupObj, aclMask, aclOther:
		default:
			return false, fmt.Errorf("entry of kind %#x: %w", e.Tag, errACL)
		}
		seen[e.Tag], last = true, e
	}
	if !seen[aclUserObj] || !seen[aclGroupObj] || !seen[aclOther] || named && !seen[aclMask] {
		return false, errACL
	}
	return seen[aclMask], nil
}

// PlainCapability turns capabilities that hold only for one user namespace,
// that of the builder, into those that hold where the image runs.
func PlainCapability(value []byte) []byte {
	const revision, revisionMask = 0x02000000, 0xff000000
	le := binary.LittleEndian
	if len(value) != 24 || le.Uint32(value)&revisionMask != 0x03000000 {
		return value
	}
	out := slices.Clone(value[:20])
	le.PutUint32(out, le.Uint32(value)&^revisionMask|revision)
	return out
}

// plain brings an attribute of a file with the given mode into the form in
// which every image has it. ok is false for one that says nothing.
func plain(a Attribute, mode uint32) (out Attribute, ok bool, err error) {
	switch a.Name {
	case AccessACL, DefaultACL:
		list, err := ParseACL(a.Value, mode, a.Name == AccessACL)
		if err != nil || list == nil {
			return a, false, err
		}
		a.Value = EncodeACL(list)
	case Capability:
		a.Value = PlainCapability(a.Value)
	}
	return a, true, nil
}

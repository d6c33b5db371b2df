package ext4

import (
	"errors"
	"fmt"
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// Tags of the entries of an access control list, from linux/posix_acl.h.
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

var errACL = errors.New("not a valid access control list")

// storeACL turns an access control list from the form of the system calls into
// that of ext4. What an access list says of owner, group class and others
// follows the file's mode, as it does when the kernel changes a mode; one that
// says no more than the mode is left out. A default list is for a directory.
func storeACL(value []byte, mode uint16, access bool) ([]byte, error) {
	const callVersion, diskVersion, entrySize = 2, 1, 8
	if len(value) < 4 || (len(value)-4)%entrySize != 0 || le.Uint32(value) != callVersion {
		return nil, errACL
	}
	if !access && mode&modeType != modeDir {
		return nil, errors.New("only a directory has a default access control list")
	}
	entries := value[4:]
	hasMask, err := checkACL(entries)
	if err != nil {
		return nil, err
	}
	if access && len(entries) == 3*entrySize {
		return nil, nil
	}
	out := le.AppendUint32(nil, diskVersion)
	for ; len(entries) > 0; entries = entries[entrySize:] {
		tag, perm := le.Uint16(entries), le.Uint16(entries[2:])
		if access {
			switch {
			case tag == aclUserObj:
				perm = mode >> 6 & 7
			case tag == aclMask, tag == aclGroupObj && !hasMask:
				perm = mode >> 3 & 7
			case tag == aclOther:
				perm = mode & 7
			}
		}
		out = le.AppendUint16(le.AppendUint16(out, tag), perm)
		if tag == aclUser || tag == aclGroup {
			out = append(out, entries[4:8]...)
		}
	}
	return out, nil
}

// checkACL checks what the kernel does before it takes a list: which entries
// there are, in which order. A file system with another list cannot be used.
func checkACL(entries []byte) (hasMask bool, err error) {
	last, named := uint16(0), false
	var lastID uint32
	seen := map[uint16]bool{}
	for ; len(entries) > 0; entries = entries[8:] {
		tag, perm, id := le.Uint16(entries), le.Uint16(entries[2:]), le.Uint32(entries[4:])
		several := tag == aclUser || tag == aclGroup
		if perm > 7 || tag < last || tag == last && (!several || id <= lastID) {
			return false, errACL
		}
		switch tag {
		case aclUser, aclGroup:
			named = true
		case aclUserObj, aclGroupObj, aclMask, aclOther:
		default:
			return false, fmt.Errorf("entry of kind %#x: %w", tag, errACL)
		}
		seen[tag], last, lastID = true, tag, id
	}
	if !seen[aclUserObj] || !seen[aclGroupObj] || !seen[aclOther] || named && !seen[aclMask] {
		return false, errACL
	}
	return seen[aclMask], nil
}

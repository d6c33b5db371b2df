package assemblers

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/ledger"
)

var errACL = errors.New("not a valid access control list")

// tarACL reads a list in the form of the system calls and returns it in that
// form and as text. What an access list says of owner, group class and others
// follows the file's mode; one that says no more than the mode, and a default
// list of what is no directory, come back empty.
func tarACL(value []byte, mode uint32, access bool) ([]byte, string, error) {
	const version, entrySize = 2, 8
	le := binary.LittleEndian
	if len(value) < 4 || (len(value)-4)%entrySize != 0 || le.Uint32(value) != version {
		return nil, "", errACL
	}
	kind := mode & unix.S_IFMT
	if kind == unix.S_IFLNK || access && len(value) == 4+3*entrySize || !access && kind != unix.S_IFDIR {
		return nil, "", nil
	}
	hasMask := false
	for e := value[4:]; len(e) > 0; e = e[entrySize:] {
		hasMask = hasMask || le.Uint16(e) == ledger.ACLMask
	}
	out := le.AppendUint32(nil, version)
	var text []string
	for e := value[4:]; len(e) > 0; e = e[entrySize:] {
		tag, perm, id := le.Uint16(e), le.Uint16(e[2:]), le.Uint32(e[4:])
		if perm > 7 {
			return nil, "", errACL
		}
		if access {
			switch {
			case tag == ledger.ACLUserObj:
				perm = uint16(mode >> 6 & 7)
			case tag == ledger.ACLMask, tag == ledger.ACLGroupObj && !hasMask:
				perm = uint16(mode >> 3 & 7)
			case tag == ledger.ACLOther:
				perm = uint16(mode & 7)
			}
		}
		who, ok := aclWho(tag, id)
		if !ok {
			return nil, "", errACL
		}
		text = append(text, who+aclPerm(perm))
		out = le.AppendUint32(le.AppendUint16(le.AppendUint16(out, tag), perm), id)
	}
	return out, strings.Join(text, ","), nil
}

func aclWho(tag uint16, id uint32) (string, bool) {
	switch tag {
	case ledger.ACLUserObj:
		return "user::", true
	case ledger.ACLUser:
		return "user:" + strconv.FormatUint(uint64(id), 10) + ":", true
	case ledger.ACLGroupObj:
		return "group::", true
	case ledger.ACLGroup:
		return "group:" + strconv.FormatUint(uint64(id), 10) + ":", true
	case ledger.ACLMask:
		return "mask::", true
	case ledger.ACLOther:
		return "other::", true
	}
	return "", false
}

func aclPerm(perm uint16) string {
	b := []byte("rwx")
	for i := range b {
		if perm&(4>>i) == 0 {
			b[i] = '-'
		}
	}
	return string(b)
}

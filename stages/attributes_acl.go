package stages

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/ledger"
)

const (
	aclNoID    = 0xffffffff
	aclVersion = 2
)

// aclEntry is one entry of an access control list. Its name is looked up in
// the tree.
type aclEntry struct {
	tag  uint16
	perm uint16
	name string
	id   uint32
}

// aclKinds are the first fields of an entry: the tag without a name and with.
var aclKinds = map[string][2]uint16{
	"u": {ledger.ACLUserObj, ledger.ACLUser}, "user": {ledger.ACLUserObj, ledger.ACLUser},
	"g": {ledger.ACLGroupObj, ledger.ACLGroup}, "group": {ledger.ACLGroupObj, ledger.ACLGroup},
	"m": {ledger.ACLMask, 0}, "mask": {ledger.ACLMask, 0},
	"o": {ledger.ACLOther, 0}, "other": {ledger.ACLOther, 0},
}

// parseACL reads entries that are separated by commas or white space.
func parseACL(text string) ([]aclEntry, error) {
	var out []aclEntry
	seen := map[string]bool{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\n", r) }) {
		f := strings.Split(part, ":")
		tags, ok := aclKinds[f[0]]
		// m:r and o:r are short for m::r and o::r.
		if ok && len(f) == 2 && tags[1] == 0 {
			f = []string{f[0], "", f[1]}
		}
		if !ok || len(f) != 3 || f[1] != "" && tags[1] == 0 {
			return nil, fmt.Errorf("%s is not an entry of an access control list: write u:NAME:rwx, g:NAME:rwx, u::rwx, g::rwx, o::rwx or m::rwx", quote(part))
		}
		e := aclEntry{tag: tags[0], name: f[1], id: aclNoID}
		if f[1] != "" {
			e.tag = tags[1]
			if !userName.MatchString(f[1]) {
				return nil, fmt.Errorf("%s: %s is neither a number nor a name", quote(part), quote(f[1]))
			}
		}
		if e.perm, ok = parsePerm(f[2]); !ok {
			return nil, fmt.Errorf("%s: write permissions as letters of rwx, or as a digit up to 7", quote(part))
		}
		if key := fmt.Sprint(e.tag, f[1]); seen[key] {
			return nil, fmt.Errorf("%s says something for the second time", quote(part))
		} else {
			seen[key] = true
		}
		out = append(out, e)
	}
	return out, nil
}

func parsePerm(s string) (uint16, bool) {
	if len(s) == 1 && s[0] >= '0' && s[0] <= '7' {
		return uint16(s[0] - '0'), true
	}
	perm := uint16(0)
	for _, c := range s {
		switch c {
		case 'r':
			perm |= 4
		case 'w':
			perm |= 2
		case 'x':
			perm |= 1
		case '-':
		default:
			return 0, false
		}
	}
	return perm, s != "" && len(s) <= 3
}

// acl reads a list and looks its names up in the tree.
func (ids *idTables) acl(text string) ([]aclEntry, error) {
	entries, err := parseACL(text)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		e := &entries[i]
		id := 0
		switch e.tag {
		case ledger.ACLUser:
			id, err = ids.user(e.name)
		case ledger.ACLGroup:
			id, err = ids.group(e.name)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		e.id = uint32(id)
	}
	sortACL(entries)
	for i := 1; i < len(entries); i++ {
		if entries[i].tag == entries[i-1].tag && entries[i].id == entries[i-1].id {
			return nil, fmt.Errorf("%s and %s are the same", quote(entries[i-1].name), quote(entries[i].name))
		}
	}
	return entries, nil
}

func sortACL(entries []aclEntry) {
	slices.SortFunc(entries, func(a, b aclEntry) int {
		return cmp.Or(int(a.tag)-int(b.tag), cmp.Compare(a.id, b.id))
	})
}

// completeACL adds the entries that every list has, out of the mode, and the
// mask that is needed where users or groups are named. A list that is empty
// stays so: there is to be none.
func completeACL(entries []aclEntry, mode uint32) []aclEntry {
	if len(entries) == 0 {
		return nil
	}
	has := map[uint16]bool{}
	mask := uint16(0)
	for _, e := range entries {
		has[e.tag] = true
	}
	out := slices.Clone(entries)
	for _, base := range []struct {
		tag  uint16
		perm uint32
	}{{ledger.ACLUserObj, mode >> 6}, {ledger.ACLGroupObj, mode >> 3}, {ledger.ACLOther, mode}} {
		if !has[base.tag] {
			out = append(out, aclEntry{tag: base.tag, perm: uint16(base.perm & 7), id: aclNoID})
		}
	}
	for _, e := range out {
		if e.tag == ledger.ACLUser || e.tag == ledger.ACLGroup || e.tag == ledger.ACLGroupObj {
			mask |= e.perm
		}
	}
	if (has[ledger.ACLUser] || has[ledger.ACLGroup]) && !has[ledger.ACLMask] {
		out = append(out, aclEntry{tag: ledger.ACLMask, perm: mask, id: aclNoID})
	}
	sortACL(out)
	return out
}

// groupPerm returns what the file's group may do, given its mode and the list
// that it has in the ledger, if any.
func groupPerm(mode uint32, old []byte) uint32 {
	for i := 4; i+8 <= len(old); i += 8 {
		if binary.LittleEndian.Uint16(old[i:]) == ledger.ACLGroupObj {
			return uint32(binary.LittleEndian.Uint16(old[i+2:]))
		}
	}
	return mode >> 3
}

// aclMode returns the mode of a file with a list: the kernel keeps the mask in
// the place of the group.
func aclMode(entries []aclEntry, mode uint32) uint32 {
	set := func(shift uint32, perm uint16) { mode = mode&^(7<<shift) | uint32(perm)<<shift }
	for _, e := range entries {
		switch e.tag {
		case ledger.ACLUserObj:
			set(6, e.perm)
		case ledger.ACLGroupObj, ledger.ACLMask: // in this order
			set(3, e.perm)
		case ledger.ACLOther:
			set(0, e.perm)
		}
	}
	return mode
}

// setACL writes a list to the ledger. An access list of three entries says
// what the mode says, and is none.
func setACL(l *ledger.Ledger, rel, name string, entries []aclEntry) error {
	if len(entries) == 0 || name == ledger.AccessACL && len(entries) == 3 {
		l.Unset(rel, name)
		return nil
	}
	out := le32(nil, aclVersion)
	for _, e := range entries {
		out = le32(le32(out, uint32(e.tag)|uint32(e.perm)<<16), e.id)
	}
	return l.Set(rel, name, out)
}

package fsread

import "strings"

const (
	attributesMagic = 0xea020000
	attributeEntry  = 16
	attributeHeader = 32
)

// attributePrefixes are the beginnings of names, by the numbers that they are
// stored as.
var attributePrefixes = map[byte]string{
	1: "user.", 2: aclAccess, 3: aclDefault, 4: "trusted.", 6: "security.", 7: "system.", 8: "system.richacl",
}

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// attributes reads the extended attributes of an inode, which are behind its
// fields and in a block of their own.
func (f *ext) attributes(b []byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	if first := 128 + f.extra(b); first > 128 && first+4 <= f.inodeSize && le.Uint32(b[first:]) == attributesMagic {
		area := b[first+4:]
		if err := readAttributes(area, area, out); err != nil {
			return nil, err
		}
	}
	block := int64(le.Uint32(b[0x68:])) | int64(le.Uint16(b[0x76:]))<<32
	if block == 0 {
		return out, nil
	}
	if block >= f.blocks {
		return nil, damaged("attributes in block %d of %d", block, f.blocks)
	}
	area := make([]byte, f.block)
	if err := readFull(f.r, area, block*f.block); err != nil {
		return nil, err
	}
	if le.Uint32(area) != attributesMagic {
		return nil, damaged("the attributes in block %d", block)
	}
	return out, readAttributes(area[attributeHeader:], area, out)
}

// readAttributes reads entries; their values are at places in area.
func readAttributes(entries, area []byte, out map[string][]byte) error {
	for len(entries) >= 4 && le.Uint32(entries) != 0 {
		if len(entries) < attributeEntry {
			return damaged("an extended attribute is cut off")
		}
		length, index := int(entries[0]), entries[1]
		at, inode, size := int(le.Uint16(entries[2:])), le.Uint32(entries[4:]), int64(le.Uint32(entries[8:]))
		next := attributeEntry + (length+3)&^3
		if next > len(entries) {
			return damaged("an extended attribute is cut off")
		}
		prefix, known := attributePrefixes[index]
		name := prefix + string(entries[attributeEntry:attributeEntry+length])
		entries = entries[next:]
		if !known || inode != 0 {
			// Values in inodes of their own are those over a block.
			continue
		}
		if int64(at)+size > int64(len(area)) {
			return damaged("the value of the attribute %q", name)
		}
		value := append([]byte{}, area[at:int64(at)+size]...)
		if name == aclAccess || name == aclDefault {
			var err error
			if value, err = readACL(value); err != nil {
				return err
			}
		}
		out[strings.ToValidUTF8(name, "?")] = value
	}
	return nil
}

// readACL brings an access control list from the form of the disk into that of
// the system calls.
func readACL(b []byte) ([]byte, error) {
	const diskVersion, callVersion, user, group, undefined = 1, 2, 2, 8, 0xffffffff
	if len(b) < 4 || le.Uint32(b) != diskVersion {
		return nil, damaged("an access control list")
	}
	out := le.AppendUint32(nil, callVersion)
	for b = b[4:]; len(b) > 0; {
		if len(b) < 4 {
			return nil, damaged("an access control list")
		}
		tag, id, size := le.Uint16(b), uint32(undefined), 4
		if tag == user || tag == group {
			if size = 8; len(b) < size {
				return nil, damaged("an access control list")
			}
			id = le.Uint32(b[4:])
		}
		out = append(out, b[:4]...)
		out = le.AppendUint32(out, id)
		b = b[size:]
	}
	return out, nil
}

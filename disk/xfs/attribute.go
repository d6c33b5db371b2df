package xfs

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

// Name spaces of attributes.
const (
	spaceUser   = 0
	spaceRoot   = 2
	spaceSecure = 4
)

// stored is an attribute as it stands on the disk.
type stored struct {
	space byte
	name  string
	value []byte
	hash  uint32
}

// store brings an attribute into the form of the disk.
func store(a content.Attribute) (*stored, error) {
	s := &stored{value: a.Value}
	switch {
	case a.Name == content.AccessACL, a.Name == content.DefaultACL:
		s.space, s.name = spaceRoot, "SGI_ACL_FILE"
		if a.Name == content.DefaultACL {
			s.name = "SGI_ACL_DEFAULT"
		}
		var err error
		if s.value, err = storeACL(a.Value); err != nil {
			return nil, err
		}
	default:
		space, name, _ := strings.Cut(a.Name, ".")
		s.name = name
		switch space {
		case "user":
			s.space = spaceUser
		case "trusted":
			s.space = spaceRoot
		case "security":
			s.space = spaceSecure
		default:
			s.name = ""
		}
	}
	if s.name == "" || len(s.name) > 255 {
		return nil, errors.New("XFS has no such attribute")
	}
	s.hash = hashName(s.name)
	return s, nil
}

// storeACL turns an access control list from the form of the system calls into
// that of XFS.
func storeACL(value []byte) ([]byte, error) {
	list, err := content.DecodeACL(value)
	if err != nil {
		return nil, err
	}
	out := be.AppendUint32(nil, uint32(len(list)))
	for _, e := range list {
		id := uint32(0)
		if e.Named() {
			id = e.ID
		}
		out = be.AppendUint32(be.AppendUint32(out, uint32(e.Tag)), id)
		out = append(be.AppendUint16(out, e.Perm), 0, 0)
	}
	return out, nil
}

// hashName is the hash by which names of attributes and files are sorted.
func hashName(name string) uint32 {
	h := uint32(0)
	for ; len(name) >= 4; name = name[4:] {
		h = uint32(name[0])<<21 ^ uint32(name[1])<<14 ^ uint32(name[2])<<7 ^ uint32(name[3]) ^ bits.RotateLeft32(h, 28)
	}
	switch len(name) {
	case 3:
		return uint32(name[0])<<14 ^ uint32(name[1])<<7 ^ uint32(name[2]) ^ bits.RotateLeft32(h, 21)
	case 2:
		return uint32(name[0])<<7 ^ uint32(name[1]) ^ bits.RotateLeft32(h, 14)
	case 1:
		return uint32(name[0]) ^ bits.RotateLeft32(h, 7)
	}
	return h
}

// attributes returns the attributes of an inode: in itself if limit bytes are
// enough, else in a block.
func (w *writer) attributes(owner uint64, attrs []content.Attribute, limit int) (*fork, error) {
	var list []*stored
	size, short := 4, true
	for _, a := range attrs {
		s, err := store(a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.Name, err)
		}
		list = append(list, s)
		size += 3 + len(s.name) + len(s.value)
		short = short && len(s.value) < 256
	}
	if short && size <= limit && len(list) < 256 {
		body := be.AppendUint16(nil, uint16(size))
		body = append(body, byte(len(list)), 0)
		for _, s := range list {
			body = append(body, byte(len(s.name)), byte(len(s.value)), s.space)
			body = append(append(body, s.name...), s.value...)
		}
		return &fork{form: formLocal, body: body}, nil
	}
	return w.attributeBlock(owner, list)
}

// attributeBlock writes a block of attributes.
func (w *writer) attributeBlock(owner uint64, list []*stored) (*fork, error) {
	const header, entry, local = 80, 8, 0x01
	slices.SortFunc(list, func(a, b *stored) int { return cmp.Or(cmp.Compare(a.hash, b.hash), strings.Compare(a.name, b.name)) })
	b := make([]byte, blockSize)
	at, end := header, blockSize
	for _, s := range list {
		size := (3 + len(s.name) + len(s.value) + 3) &^ 3
		if end-size < header+entry*len(list) {
			return nil, fmt.Errorf("the extended attributes take more than the %d bytes that are supported for a file in XFS", blockSize-header)
		}
		end -= size
		be.PutUint32(b[at:], s.hash)
		be.PutUint16(b[at+4:], uint16(end))
		b[at+6] = local | s.space
		be.PutUint16(b[end:], uint16(len(s.value)))
		b[end+2] = byte(len(s.name))
		copy(b[end+3:], s.name)
		copy(b[end+3+len(s.name):], s.value)
		at += entry
	}
	extents, err := w.grow(nil, 0, 1, nil)
	if err != nil {
		return nil, err
	}
	w.treeInfo(b, 0x3bee, owner, extents[0].disk, 0, 0)
	be.PutUint16(b[56:], uint16(len(list)))
	be.PutUint16(b[58:], uint16(blockSize-end))
	be.PutUint16(b[60:], uint16(end))
	be.PutUint16(b[64:], uint16(at)) // what is free
	be.PutUint16(b[66:], uint16(end-at))
	sum(b, 12)
	f := extentFork(extents)
	return &f, w.writeBlock(extents[0].disk, b)
}

// treeInfo fills the beginning of a block of names sorted by hash.
func (w *writer) treeInfo(b []byte, magic uint16, owner, fsBlock uint64, next, previous uint32) {
	be.PutUint32(b, next)
	be.PutUint32(b[4:], previous)
	be.PutUint16(b[8:], magic)
	be.PutUint64(b[16:], w.sector(fsBlock))
	copy(b[32:], w.to.UUID[:])
	be.PutUint64(b[48:], owner)
}

package ext4

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

// How attributes are stored, as the kernel's documentation of ext4 gives it
// (filesystems/ext4: attributes.rst): in what is free behind the inode's own
// fields, and in one block, which inodes with the same attributes may share.
// Entries grow from the front, values from the end.
const (
	xaMagic     = 0xea020000
	xaEntrySize = 16
	xaHeader    = 32
	xaRefCount  = 0x04
	xaBlocks    = 0x08
	xaHash      = 0x0c
	xaChecksum  = 0x10
	xaMaxShares = 1024
	// xaRoom is what a block has for entries and values: behind the entries
	// there are four bytes of zeros.
	xaRoom = blockSize - xaHeader - 4
)

// stored is an attribute as it stands on the disk.
type stored struct {
	index byte
	name  string
	value []byte
}

func padded(n int) int { return (n + 3) &^ 3 }

func (s *stored) size() int { return xaEntrySize + padded(len(s.name)) + padded(len(s.value)) }

// hash is what a block holds of each attribute.
func (s *stored) hash() uint32 {
	h := uint32(0)
	for i := range len(s.name) {
		h = h<<5 ^ h>>27 ^ uint32(s.name[i])
	}
	value := make([]byte, padded(len(s.value)))
	copy(value, s.value)
	for ; len(value) > 0; value = value[4:] {
		h = h<<16 ^ h>>16 ^ le.Uint32(value)
	}
	return h
}

// store brings an attribute of a file with the given mode into the form of the
// disk. It returns nil for one that says nothing.
func store(a content.Attribute, mode uint16) (*stored, error) {
	s := &stored{value: a.Value}
	if s.index, s.name = a.Short(); s.index == 0 {
		return nil, errors.New("ext4 has no such attribute")
	}
	if a.Name == content.AccessACL || a.Name == content.DefaultACL {
		var err error
		if s.value, err = storeACL(a.Value, mode, a.Name == content.AccessACL); s.value == nil {
			return nil, err
		}
	}
	return s, nil
}

// sharedBlock is a block of attributes that one or more inodes have.
type sharedBlock struct {
	number  int64
	users   uint32
	content []byte
}

// attributes gives an inode its attributes: in what is free behind its fields
// as many as fit, labels first, and the others in a block.
func (w *writer) attributes(b []byte, n *inode, list []content.Attribute) error {
	// A number in front tells that there are any, four zeros end the entries.
	room := inodeSize - attrAt - 8
	left := xaRoom
	var inside, outside []*stored
	for _, a := range slices.SortedFunc(slices.Values(list), securityFirst) {
		s, err := store(a, uint16(n.mode))
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		switch {
		case s == nil:
		case s.size() <= room:
			inside = append(inside, s)
			room -= s.size()
		default:
			outside = append(outside, s)
			left -= s.size()
		}
	}
	if left < 0 {
		return fmt.Errorf("the extended attributes take %d bytes more than ext4 can keep for one file, which is %d", -left, blockSize)
	}
	if len(inside) > 0 {
		le.PutUint32(b[attrAt:], xaMagic)
		// Places of values count from the first entry, and hashes are not
		// kept here.
		fill(b[attrAt+4:], 0, inside, false)
	}
	if len(outside) == 0 {
		return nil
	}
	n.blocks++
	setBlocks(b, n.blocks)
	return w.attach(b, outside)
}

func securityFirst(a, b content.Attribute) int {
	rank := func(s string) int {
		if strings.HasPrefix(s, "security.") {
			return 0
		}
		return 1
	}
	return cmp.Or(rank(a.Name)-rank(b.Name), strings.Compare(a.Name, b.Name))
}

// fill writes entries from start on and values from the end, and returns the
// hash over all.
func fill(area []byte, start int, list []*stored, hashes bool) uint32 {
	slices.SortFunc(list, func(a, b *stored) int {
		return cmp.Or(int(a.index)-int(b.index), len(a.name)-len(b.name), strings.Compare(a.name, b.name))
	})
	at, end, all := start, len(area), uint32(0)
	for _, s := range list {
		e := area[at:]
		e[0], e[1] = byte(len(s.name)), s.index
		if len(s.value) > 0 {
			end -= padded(len(s.value))
			le.PutUint16(e[2:], uint16(end))
			copy(area[end:], s.value)
		}
		le.PutUint32(e[8:], uint32(len(s.value)))
		if hashes {
			h := s.hash()
			le.PutUint32(e[12:], h)
			all = all<<16 ^ all>>16 ^ h
		}
		copy(e[xaEntrySize:], s.name)
		at += xaEntrySize + padded(len(s.name))
	}
	return all
}

// attach gives an inode a block of attributes.
func (w *writer) attach(inode []byte, list []*stored) error {
	content := make([]byte, blockSize)
	hash := fill(content, xaHeader, list, true)
	le.PutUint32(content, xaMagic)
	le.PutUint32(content[xaBlocks:], 1)
	le.PutUint32(content[xaHash:], hash)
	b := w.shared[string(content)]
	if b == nil || b.users >= xaMaxShares {
		number, _, err := w.take(1)
		if err != nil {
			return err
		}
		b = &sharedBlock{number: number, content: content}
		w.shared[string(content)] = b
		w.sharedList = append(w.sharedList, b)
	}
	b.users++
	le.PutUint32(inode[inFileACLLo:], uint32(b.number))
	le.PutUint16(inode[inFileACLHi:], uint16(b.number>>32))
	return nil
}

// flushAttributes writes the blocks of attributes, now that the number of their
// users is known.
func (w *writer) flushAttributes() error {
	for _, b := range w.sharedList {
		le.PutUint32(b.content[xaRefCount:], b.users)
		seed := crc32c(w.seed, le.AppendUint64(nil, uint64(b.number)))
		w.putSum(b.content[xaChecksum:], seed, b.content)
		if err := w.writeBlocks(b.number, b.content); err != nil {
			return err
		}
	}
	return nil
}

package ext4

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
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
	xaRoom = BlockSize - xaHeader - 4
)

// prefixes are the numbers by which a name's beginning is stored.
var prefixes = []struct {
	text  string
	index byte
	whole bool
}{
	{content.AccessACL, 2, true},
	{content.DefaultACL, 3, true},
	{"user.", 1, false},
	{"trusted.", 4, false},
	{"security.", 6, false},
}

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
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(a.Name, p.text); ok && (rest == "") == p.whole {
			s.index, s.name = p.index, rest
		}
	}
	if s.index == 0 || len(s.name) > 255 {
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

// attributeWriter writes the attributes of inodes.
type attributeWriter struct {
	t      *inodes
	blocks *blocks
	// shared are the blocks of attributes by their content.
	shared map[string]*sharedBlock
	all    []*sharedBlock
}

type sharedBlock struct {
	number  int64
	users   uint32
	content []byte
}

// writeAttributes gives files their attributes, in a file system that mke2fs
// has just made without any. Normalize has to follow, as it makes the
// checksums of inodes and of the superblock. Files that are not there are
// named in a warning.
func writeAttributes(f ReadWriterAt, offset int64, root Root, files map[string][]content.Attribute) ([]Warning, error) {
	sb, groups, err := readSuper(f, offset)
	if err != nil {
		return nil, err
	}
	t, err := newInodes(f, offset, sb, groups)
	if err != nil {
		return nil, err
	}
	if !t.sums {
		return nil, fmt.Errorf("no checksums of metadata: %w", errDamaged)
	}
	byInode, warnings, err := collect(t, files)
	if err != nil {
		return nil, err
	}
	w := &attributeWriter{t: t, blocks: newBlocks(t, sb), shared: map[string]*sharedBlock{}}
	for _, number := range slices.Sorted(maps.Keys(byInode)) {
		o := byInode[number]
		if err := w.set(number, root, o.attributes); err != nil {
			return nil, fmt.Errorf("%s: %w", o.path, err)
		}
	}
	return warnings, w.flush()
}

// owner is an inode that gets attributes.
type owner struct {
	path       string
	attributes map[string][]byte
}

// collect finds the inodes of the files. Of a file with several names that
// have different attributes the last name decides.
func collect(t *inodes, files map[string][]content.Attribute) (map[uint32]*owner, []Warning, error) {
	dirs := directories{t: t, entries: map[uint32]map[string]uint32{}}
	byInode := map[uint32]*owner{}
	var warnings []Warning
	missing, first := 0, ""
	for _, path := range slices.Sorted(maps.Keys(files)) {
		number, err := dirs.find(path)
		if err != nil {
			return nil, nil, fmt.Errorf("%q: %w", path, err)
		}
		if number == 0 {
			if missing++; missing == 1 {
				first = path
			}
			continue
		}
		o := byInode[number]
		if o == nil {
			o = &owner{path: fmt.Sprintf("%q", path), attributes: map[string][]byte{}}
			byInode[number] = o
		}
		for _, a := range files[path] {
			if old, ok := o.attributes[a.Name]; ok && string(old) != string(a.Value) {
				warnings = append(warnings, Warning(fmt.Sprintf("%q and %s are one file and have different attributes %s: that of the former holds", path, o.path, a.Name)))
			}
			o.attributes[a.Name] = a.Value
		}
	}
	if missing > 0 {
		warnings = append(warnings, Warning(fmt.Sprintf("there are extended attributes for %d files that do not exist, such as %q", missing, first)))
	}
	return byInode, warnings, nil
}

// set writes the attributes of one inode: as many as fit into it, those of
// security first, as they are read most often, and the others into a block.
func (w *attributeWriter) set(number uint32, root Root, attributes map[string][]byte) error {
	inode, at, err := w.t.read(number)
	if err != nil {
		return err
	}
	mode := le.Uint16(inode[inMode:])
	if number == rootInode {
		// What it will be.
		mode = modeDir | root.Mode
	}
	first := 128 + int(le.Uint16(inode[inExtraSize:]))
	if first < 128+4 || first > w.t.size-4 || first%4 != 0 || le.Uint32(inode[first:]) == xaMagic ||
		le.Uint32(inode[inFileACLLo:]) != 0 || le.Uint16(inode[inFileACLHi:]) != 0 {
		return fmt.Errorf("inode %d has attributes already, or no place for any: %w", number, errDamaged)
	}
	var inside, outside []*stored
	room := w.t.size - first - 8
	left := xaRoom
	for _, name := range slices.SortedFunc(maps.Keys(attributes), securityFirst) {
		s, err := store(content.Attribute{Name: name, Value: attributes[name]}, mode)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
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
		return fmt.Errorf("the extended attributes take %d bytes more than ext4 can keep for one file, which is %d", -left, BlockSize)
	}
	if len(inside) > 0 {
		le.PutUint32(inode[first:], xaMagic)
		// Places of values count from the first entry, and hashes are not
		// kept here.
		fill(inode[first+4:], 0, inside, false)
	}
	if len(outside) > 0 {
		if err := w.attach(inode, outside); err != nil {
			return err
		}
	}
	_, err = w.t.f.WriteAt(inode, at)
	return err
}

func securityFirst(a, b string) int {
	rank := func(s string) int {
		if strings.HasPrefix(s, "security.") {
			return 0
		}
		return 1
	}
	return cmp.Or(rank(a)-rank(b), strings.Compare(a, b))
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
func (w *attributeWriter) attach(inode []byte, list []*stored) error {
	content := make([]byte, BlockSize)
	hash := fill(content, xaHeader, list, true)
	le.PutUint32(content, xaMagic)
	le.PutUint32(content[xaBlocks:], 1)
	le.PutUint32(content[xaHash:], hash)
	b := w.shared[string(content)]
	if b == nil || b.users >= xaMaxShares {
		number, err := w.blocks.take()
		if err != nil {
			return err
		}
		b = &sharedBlock{number: number, content: content}
		w.shared[string(content)] = b
		w.all = append(w.all, b)
	}
	b.users++
	le.PutUint32(inode[inFileACLLo:], uint32(b.number))
	le.PutUint16(inode[inFileACLHi:], uint16(b.number>>32))
	unit := int64(BlockSize / 512)
	if le.Uint32(inode[inFlags:])&flagHugeFile != 0 {
		unit = 1
	}
	count := int64(le.Uint32(inode[inBlocksLo:])) | int64(le.Uint16(inode[inBlocksHi:]))<<32
	count += unit
	le.PutUint32(inode[inBlocksLo:], uint32(count))
	le.PutUint16(inode[inBlocksHi:], uint16(count>>32))
	return nil
}

// flush writes the blocks of attributes and the maps of free blocks.
func (w *attributeWriter) flush() error {
	for _, b := range w.all {
		le.PutUint32(b.content[xaRefCount:], b.users)
		var number [8]byte
		le.PutUint64(number[:], uint64(b.number))
		le.PutUint32(b.content[xaChecksum:], crc32c(crc32c(w.t.seed, number[:]), b.content))
		if _, err := w.t.f.WriteAt(b.content, w.t.offset+b.number*BlockSize); err != nil {
			return err
		}
	}
	return w.blocks.leave()
}

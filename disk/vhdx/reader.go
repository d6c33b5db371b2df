package vhdx

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/osbuildkit/osbuildkit/disk/internal/blocks"
)

// Image reads the disk in a VHDX file that is the whole of it. It is safe for
// several goroutines. The file is not trusted.
type Image struct {
	*blocks.Disk
	r     io.ReaderAt
	pages *blocks.Pages
	table region
	block int64
	chunk int64 // blocks of the disk between two entries for bitmaps
}

// Limits of what is taken for an image, from the specification.
const (
	minBlockSize, maxBlockSize = mib, 256 * mib
	maxEntries                 = 2047 // of the tables of regions and of metadata
	headerSize                 = 4 << 10
	formatVersion              = 1
	hasParent                  = 2 // of the parameters of the file
)

// The states of a block.
const (
	notPresent, undefined, zero, unmapped = 0, 1, 2, 3
	stateMask                             = 7
	placeMask                             = ^uint64(mib - 1)
)

// region is a part of the file.
type region struct{ at, size uint64 }

// Open reads headers, regions and metadata of an image, and looks through its
// table of blocks. One with a parent is an error, and so is one whose log was
// not played back, or that uses a block twice.
func Open(r io.ReaderAt) (*Image, error) {
	m := &Image{r: r, pages: blocks.NewPages(r)}
	if err := checkHeaders(r); err != nil {
		return nil, fmt.Errorf("vhdx header: %w", err)
	}
	regions, err := readRegions(r)
	if err != nil {
		return nil, fmt.Errorf("vhdx regions: %w", err)
	}
	m.table = regions[regionTable]
	size, sector, err := m.metadata(regions[regionMetadata])
	if err != nil {
		return nil, fmt.Errorf("vhdx metadata: %w", err)
	}
	if size > MaxSize || size%uint64(sector) != 0 {
		return nil, fmt.Errorf("vhdx metadata: a disk of %d bytes is not possible", size)
	}
	m.chunk = (1 << 23) * int64(sector) / m.block
	m.Disk = blocks.New(int64(size), m.block, m)
	if err := m.check((int64(size) + m.block - 1) / m.block); err != nil {
		return nil, fmt.Errorf("vhdx table of blocks: %w", err)
	}
	return m, nil
}

// sound tells whether a structure has its signature and checksum.
func sound(b []byte, signature string) bool {
	if string(b[:4]) != signature {
		return false
	}
	sum := le.Uint32(b[4:])
	clear(b[4:8])
	return crc32.Checksum(b, crc32c) == sum
}

// checkHeaders looks at the header that holds: of those that are sound the one
// with the higher number.
func checkHeaders(r io.ReaderAt) error {
	var current []byte
	for _, at := range []uint64{headerAt, headerAt + copyDistance} {
		b := make([]byte, headerSize)
		if err := blocks.ReadFull(r, b, at); err != nil {
			return err
		}
		if sound(b, "head") && (current == nil || le.Uint64(b[8:]) > le.Uint64(current[8:])) {
			current = b
		}
	}
	switch {
	case current == nil:
		return errors.New("both are damaged")
	case le.Uint16(current[66:]) != formatVersion:
		return fmt.Errorf("version %d is not supported", le.Uint16(current[66:]))
	}
	for _, c := range current[48:64] {
		if c != 0 {
			return errors.New("the log of the image was not played back, as its machine did not end in order: start it once more, or run qemu-img check -r all on a copy of it")
		}
	}
	return nil
}

// readRegions reads the table of regions, or its copy.
func readRegions(r io.ReaderAt) (map[string]region, error) {
	b := make([]byte, regionsSize)
	found := false
	for _, at := range []uint64{regionsAt, regionsAt + copyDistance} {
		if err := blocks.ReadFull(r, b, at); err != nil {
			return nil, err
		}
		if found = sound(b, "regi"); found {
			break
		}
	}
	count := int(le.Uint32(b[8:]))
	if !found || count > maxEntries {
		return nil, errors.New("both tables are damaged")
	}
	out := map[string]region{}
	for i := range count {
		e := b[16+32*i:]
		at, size, required := le.Uint64(e[16:]), uint64(le.Uint32(e[24:])), le.Uint32(e[28:])&1 != 0
		name := nameOf(e, regionTable, regionMetadata)
		switch {
		case name == "" && required:
			return nil, fmt.Errorf("the region %x is not known", e[:16])
		case name == "":
			continue
		case at < mib || at%mib != 0 || size%mib != 0 || at > 1<<62:
			return nil, fmt.Errorf("a region of %d bytes at %d is not possible", size, at)
		case out[name] != region{}:
			return nil, errors.New("a region is there twice")
		}
		out[name] = region{at, size}
	}
	for _, name := range []string{regionTable, regionMetadata} {
		if out[name] == (region{}) {
			return nil, fmt.Errorf("the region %s is missing", name)
		}
	}
	return out, nil
}

// nameOf returns which of the identifiers stands at the start of b.
func nameOf(b []byte, names ...string) string {
	for _, name := range names {
		if string(b[:16]) == string(known(name)) {
			return name
		}
	}
	return ""
}

// metadata reads what the image says about the disk: its size and that of its
// sectors.
func (m *Image) metadata(where region) (size uint64, sector uint32, err error) {
	if where.size < itemsAt {
		return 0, 0, fmt.Errorf("%d bytes are too few", where.size)
	}
	b := make([]byte, itemsAt)
	if err := blocks.ReadFull(m.r, b, where.at); err != nil {
		return 0, 0, err
	}
	count := int(le.Uint16(b[10:]))
	if string(b[:8]) != "metadata" || count > maxEntries {
		return 0, 0, errors.New("the table is damaged")
	}
	values := map[string][]byte{}
	for i := range count {
		e := b[32+32*i:]
		at, length, flags := uint64(le.Uint32(e[16:])), uint64(le.Uint32(e[20:])), le.Uint32(e[24:])
		name := nameOf(e, itemFile, itemSize, itemLogical, itemPhysical, itemID)
		if name == "" {
			if flags&isRequired != 0 {
				return 0, 0, fmt.Errorf("the item %x is not known", e[:16])
			}
			continue
		}
		want := map[string]uint64{itemFile: 8, itemSize: 8, itemLogical: 4, itemPhysical: 4, itemID: 16}[name]
		if length != want || at < itemsAt || at+length > where.size || values[name] != nil {
			return 0, 0, fmt.Errorf("an item of %d bytes at %d is not possible", length, at)
		}
		values[name] = make([]byte, length)
		if err := blocks.ReadFull(m.r, values[name], where.at+at); err != nil {
			return 0, 0, err
		}
	}
	for _, name := range []string{itemFile, itemSize, itemLogical} {
		if values[name] == nil {
			return 0, 0, fmt.Errorf("the item %s is missing", name)
		}
	}
	m.block = int64(le.Uint32(values[itemFile]))
	sector = le.Uint32(values[itemLogical])
	switch {
	case le.Uint32(values[itemFile][4:])&hasParent != 0:
		return 0, 0, errors.New("the image has a parent: it is a part of a disk only; merge it with its parent")
	case m.block < minBlockSize || m.block > maxBlockSize || m.block&(m.block-1) != 0:
		return 0, 0, fmt.Errorf("blocks of %d bytes are not possible", m.block)
	case sector != 512 && sector != 4096:
		return 0, 0, fmt.Errorf("sectors of %d bytes are not possible", sector)
	}
	return le.Uint64(values[itemSize]), sector, nil
}

// check looks through the table.
func (m *Image) check(count int64) error {
	if count > 0 && uint64(count+(count-1)/m.chunk)*8 > m.table.size {
		return fmt.Errorf("%d bytes are too few for %d blocks", m.table.size, count)
	}
	claims := blocks.NewClaims()
	for i := range count {
		entry, err := m.entry(i)
		if err != nil {
			return err
		}
		switch entry & stateMask {
		case notPresent, undefined, zero, unmapped:
			continue
		case fullyPresent:
		default:
			return fmt.Errorf("the state %d of block %d is not possible", entry&stateMask, i)
		}
		// Blocks that do not overlap have other numbers.
		if err := claims.Add(entry & placeMask / uint64(m.block)); err != nil {
			return err
		}
	}
	return nil
}

// entry returns that of a block of the disk.
func (m *Image) entry(index int64) (uint64, error) {
	return m.pages.LE64(m.table.at + uint64(index+index/m.chunk)*8)
}

// Find tells whether a block holds data; see blocks.Table.
func (m *Image) Find(index int64) (data bool, run int64, err error) {
	entry, err := m.entry(index)
	return entry&stateMask == fullyPresent, 1, err
}

// Read reads a part of a block; see blocks.Table.
func (m *Image) Read(p []byte, index, in int64) error {
	entry, err := m.entry(index)
	if err != nil {
		return err
	}
	return blocks.ReadFull(m.r, p, entry&placeMask+uint64(in))
}

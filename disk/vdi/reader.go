package vdi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/internal/blocks"
)

// Kind is how an image was made.
type Kind string

// The kinds of images that are read.
const (
	Dynamic Kind = "dynamic"
	Static  Kind = "static"
)

// Image reads the disk in a VDI file that is the whole of it: growing, or of a
// fixed size. It is safe for several goroutines. The file is not trusted.
type Image struct {
	*blocks.Disk
	r     io.ReaderAt
	pages *blocks.Pages
	kind  Kind
	table uint64 // offset of the table
	data  uint64 // offset of the first block
	block int64
}

// Limits of what is taken for an image. VirtualBox makes blocks of 1 MiB, and
// its largest disk has 2 PiB; the one here has a table that can be looked
// through in a second.
const (
	magic                  = 0xbeda107f
	minBlock, maxBlock     = 64 << 10, 256 << 20
	maxBlocks              = 64 << 20
	static, undo, children = 2, 3, 4
	discarded              = unused - 1 // and unused: such blocks are zero
)

// Open reads the header of an image and looks through its
// table. One that is a part of a disk only is an error, and so is one that uses
// a block twice.
func Open(r io.ReaderAt) (*Image, error) {
	le := binary.LittleEndian
	h := make([]byte, headerSize)
	if err := blocks.ReadFull(r, h, 0); err != nil {
		return nil, fmt.Errorf("vdi header: %w", err)
	}
	if le.Uint32(h[0x40:]) != magic {
		return nil, errors.New("not a vdi image")
	}
	m := &Image{r: r, pages: blocks.NewPages(r), table: uint64(le.Uint32(h[0x154:])), data: uint64(le.Uint32(h[0x158:])), block: int64(le.Uint32(h[0x178:]))}
	size, count := le.Uint64(h[0x170:]), int64(le.Uint32(h[0x180:]))
	var problem string
	switch kind := le.Uint32(h[0x4c:]); {
	case le.Uint32(h[0x44:])>>16 != 1:
		problem = fmt.Sprintf("version %#x is not supported", le.Uint32(h[0x44:]))
	case kind == undo || kind == children || !isZero(h[0x1a8:0x1c8]):
		problem = "the image has a parent: it is a part of a disk only; make it whole with VBoxManage clonemedium"
	case kind != dynamic && kind != static:
		problem = fmt.Sprintf("the type %d is not known", kind)
	case m.block < minBlock || m.block > maxBlock || m.block&(m.block-1) != 0 || le.Uint32(h[0x17c:]) != 0:
		problem = fmt.Sprintf("blocks of %d bytes with %d before each are not possible", m.block, le.Uint32(h[0x17c:]))
	case le.Uint32(h[0x168:]) != disk.SectorSize:
		problem = fmt.Sprintf("sectors of %d bytes are not supported", le.Uint32(h[0x168:]))
	case count > maxBlocks || size > uint64(count)*uint64(m.block):
		problem = fmt.Sprintf("a disk of %d bytes in %d blocks is not possible", size, count)
	case m.table < 0x190 || m.data < m.table+uint64(count)*4:
		problem = fmt.Sprintf("a table at %d and data at %d are not possible", m.table, m.data)
	}
	if problem != "" {
		return nil, fmt.Errorf("vdi header: %s", problem)
	}
	if m.kind = Dynamic; le.Uint32(h[0x4c:]) == static {
		m.kind = Static
	}
	m.Disk = blocks.New(int64(size), m.block, m)
	if err := m.check((int64(size) + m.block - 1) / m.block); err != nil {
		return nil, fmt.Errorf("vdi table: %w", err)
	}
	return m, nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// check looks through the table.
func (m *Image) check(count int64) error {
	claims := blocks.NewClaims()
	for i := range count {
		entry, err := m.entry(i)
		if err != nil {
			return err
		}
		if entry >= discarded {
			continue
		}
		if err := claims.Add(uint64(entry)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Image) entry(index int64) (uint32, error) { return m.pages.LE32(m.table + uint64(index)*4) }

// Kind is how the image was made.
func (m *Image) Kind() Kind { return m.kind }

// Find tells whether a block holds data; see blocks.Table.
func (m *Image) Find(index int64) (data bool, run int64, err error) {
	entry, err := m.entry(index)
	return entry < discarded, 1, err
}

// Read reads a part of a block; see blocks.Table.
func (m *Image) Read(p []byte, index, in int64) error {
	entry, err := m.entry(index)
	if err != nil {
		return err
	}
	return blocks.ReadFull(m.r, p, m.data+uint64(entry)*uint64(m.block)+uint64(in))
}

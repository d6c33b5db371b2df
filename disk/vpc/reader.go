package vpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/internal/blocks"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Image reads the disk in a VHD file that is the whole of it, fixed or dynamic.
// It is safe for several goroutines. The file is not trusted.
type Image struct {
	sparse.Source
	size    int64
	dynamic bool
}

// Limits of what is taken for an image. Blocks of 2 MiB are the default, and
// some programs make smaller ones.
const (
	minBlock, maxBlock   = 64 << 10, 256 << 20
	kindFixed            = 2
	kindDynamic          = 3
	kindDifferencing     = 4
	mostEntries          = MaxSize / minBlock
	isFooter, isDynamic  = "conectix", "cxsparse"
	checksumAt, headerAt = 64, 36
)

// Open reads the footer of an image of fileSize bytes, or its copy at the start
// where the end is damaged, and looks through the table of blocks. One that is a
// part of a disk only is an error, and so is one that uses a block twice.
func Open(r sparse.Source, fileSize int64) (*Image, error) {
	h := make([]byte, footerSize)
	err := blocks.ReadFull(r, h, uint64(max(0, fileSize-footerSize)))
	if err != nil || !sound(h, isFooter, checksumAt) {
		if err := blocks.ReadFull(r, h, 0); err != nil {
			return nil, fmt.Errorf("vpc footer: %w", err)
		}
		if !sound(h, isFooter, checksumAt) {
			return nil, errors.New("vpc footer: there is none with a right checksum, neither at the end nor at the start")
		}
	}
	be := binary.BigEndian
	size := be.Uint64(h[48:])
	if size > MaxSize {
		return nil, fmt.Errorf("vpc footer: a disk of %d bytes is not possible", size)
	}
	switch kind := be.Uint32(h[60:]); kind {
	case kindFixed:
		if int64(size) > fileSize-footerSize {
			return nil, fmt.Errorf("vpc footer: the disk has %d bytes, and the file %d: it is cut off", size, fileSize)
		}
		return &Image{Source: sparse.Section(r, 0, int64(size)), size: int64(size)}, nil
	case kindDynamic:
		d, err := openDynamic(r, be.Uint64(h[16:]), int64(size))
		if err != nil {
			return nil, fmt.Errorf("vpc image: %w", err)
		}
		return &Image{Source: d, size: int64(size), dynamic: true}, nil
	case kindDifferencing:
		return nil, errors.New("the vpc image has a parent: it is a part of a disk only; merge it with its parent")
	default:
		return nil, fmt.Errorf("vpc footer: the type %d is not known", kind)
	}
}

// sound tells whether a header has its signature and checksum.
func sound(b []byte, signature string, at int) bool {
	if string(b[:8]) != signature {
		return false
	}
	sum := binary.BigEndian.Uint32(b[at:])
	clear(b[at : at+4])
	return checksum(b) == sum
}

// Size is the size of the disk in bytes.
func (m *Image) Size() int64 { return m.size }

// Dynamic tells whether the image grows.
func (m *Image) Dynamic() bool { return m.dynamic }

// growing is the table of a dynamic image.
type growing struct {
	r      io.ReaderAt
	pages  *blocks.Pages
	table  uint64
	block  int64
	bitmap uint64 // bytes of the bitmap before each block
}

func openDynamic(r io.ReaderAt, at uint64, size int64) (*blocks.Disk, error) {
	h := make([]byte, headerSize)
	if err := blocks.ReadFull(r, h, at); err != nil {
		return nil, fmt.Errorf("second header: %w", err)
	}
	if !sound(h, isDynamic, headerAt) {
		return nil, errors.New("the second header is damaged")
	}
	be := binary.BigEndian
	g := &growing{r: r, pages: blocks.NewPages(r), table: be.Uint64(h[16:]), block: int64(be.Uint32(h[32:]))}
	count := int64(be.Uint32(h[28:]))
	if g.block < minBlock || g.block > maxBlock || g.block&(g.block-1) != 0 || count > mostEntries || size > count*g.block {
		return nil, fmt.Errorf("a disk of %d bytes in %d blocks of %d is not possible", size, count, g.block)
	}
	if g.table > 1<<62 {
		return nil, fmt.Errorf("a table at %d is not possible", g.table)
	}
	sectors := uint64(g.block / disk.SectorSize)
	g.bitmap = (sectors/8 + disk.SectorSize - 1) / disk.SectorSize * disk.SectorSize
	claims := blocks.NewClaims()
	for i := range (size + g.block - 1) / g.block {
		entry, err := g.pages.BE32(g.table + uint64(i)*4)
		if err != nil {
			return nil, fmt.Errorf("table of blocks: %w", err)
		}
		if entry == unused {
			continue
		}
		// Of two blocks that do not overlap, the numbers are not the same.
		if err := claims.Add(uint64(entry) / sectors); err != nil {
			return nil, fmt.Errorf("table of blocks: %w", err)
		}
	}
	return blocks.New(size, g.block, g), nil
}

// Find tells whether a block holds data; see blocks.Table.
func (g *growing) Find(index int64) (data bool, run int64, err error) {
	entry, err := g.pages.BE32(g.table + uint64(index)*4)
	return entry != unused, 1, err
}

// Read reads a part of a block; see blocks.Table. Sectors that were never
// written to read as zeros.
func (g *growing) Read(p []byte, index, in int64) error {
	entry, err := g.pages.BE32(g.table + uint64(index)*4)
	if err != nil {
		return err
	}
	at := uint64(entry) * disk.SectorSize
	if err := blocks.ReadFull(g.r, p, at+g.bitmap+uint64(in)); err != nil {
		return err
	}
	for len(p) > 0 {
		sector := in / disk.SectorSize
		n := min(int64(len(p)), (sector+1)*disk.SectorSize-in)
		bits, err := g.pages.At(at+uint64(sector/8), 1)
		if err != nil {
			return err
		}
		if bits[0]&(0x80>>(sector%8)) == 0 {
			clear(p[:n])
		}
		p, in = p[n:], in+n
	}
	return nil
}

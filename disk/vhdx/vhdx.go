package vhdx

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Options says how an image is written.
type Options struct {
	// ID identifies the disk; the other identifiers of the format are derived
	// from it.
	ID disk.UUID
}

// MaxSize is the size in bytes of the largest disk that the format allows.
const MaxSize = 64 << 40

// Where things are in the file: the parts whose places are fixed, then the log,
// which stays empty, the metadata, and the table of blocks.
const (
	mib           = 1 << 20
	blockSize     = mib
	headerAt      = 64 << 10
	regionsAt     = 192 << 10
	copyDistance  = 64 << 10
	regionsSize   = 64 << 10
	logAt         = mib
	metadataAt    = 2 * mib
	tableAt       = 3 * mib
	itemsAt       = 64 << 10 // in the metadata
	sectorSize    = disk.SectorSize
	chunkBlocks   = (1 << 23) * sectorSize / blockSize
	fullyPresent  = 6
	isVirtualDisk = 2
	isRequired    = 4
)

var le = binary.LittleEndian

var crc32c = crc32.MakeTable(crc32.Castagnoli)

// The identifiers of regions and metadata, from the specification.
const (
	regionTable    = "2dc27766-f623-4200-9d64-115e9bfd4a08"
	regionMetadata = "8b7ca206-4790-4b9a-b8fe-575f050f886e"
	itemFile       = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
	itemSize       = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
	itemID         = "beca12ab-b2e6-4523-93ef-c309e000c746"
	itemLogical    = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
	itemPhysical   = "cda348c7-445d-4471-9cc9-e9885251c556"
)

// Write writes the first size bytes of src as an image to dst, which must be
// empty. The headers come last: what an interrupted Write leaves is not taken
// for an image. size must be a positive multiple of 512.
func Write(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64, o Options) error {
	if size <= 0 || size%sectorSize != 0 || size > MaxSize {
		return fmt.Errorf("a vhdx disk of %d bytes is not possible: the size must be a multiple of %d of up to 64 TiB", size, sectorSize)
	}
	blocks := (size + blockSize - 1) / blockSize
	// Behind the entries of each chunk there is one for a bitmap, which images
	// without a parent do not have.
	entries := blocks + (blocks-1)/chunkBlocks
	table := make([]byte, (entries*8+mib-1)/mib*mib)
	at := tableAt + int64(len(table))
	err := sparse.Blocks(ctx, src, size, sparse.Work{Block: blockSize}, func(index int64, raw, _ []byte) error {
		le.PutUint64(table[(index+index/chunkBlocks)*8:], uint64(at)|fullyPresent)
		_, err := dst.WriteAt(raw, at)
		at += blockSize
		return err
	})
	if err != nil {
		return err
	}
	regions := regionsOf(int64(len(table)))
	for _, part := range []struct {
		data []byte
		at   int64
	}{
		{table, tableAt}, {metadata(size, o), metadataAt}, {make([]byte, mib), logAt},
		{regions, regionsAt}, {regions, regionsAt + copyDistance},
		{header(o, 1), headerAt + copyDistance}, {header(o, 2), headerAt}, {identifier(), 0},
	} {
		if _, err := dst.WriteAt(part.data, part.at); err != nil {
			return err
		}
	}
	return nil
}

// identifier is the start of the file.
func identifier() []byte {
	b := make([]byte, 64<<10)
	copy(b, "vhdxfile")
	for i, u := range utf16.Encode([]rune("osbuildkit")) {
		le.PutUint16(b[8+2*i:], u)
	}
	return b
}

// header is one of two; the one with the higher number holds.
func header(o Options, number uint64) []byte {
	b := make([]byte, 4096)
	copy(b, "head")
	le.PutUint64(b[8:], number)
	copy(b[16:], o.ID.Derive("vhdx file").Mixed())
	copy(b[32:], o.ID.Derive("vhdx data").Mixed())
	le.PutUint16(b[66:], 1)
	le.PutUint32(b[68:], mib)
	le.PutUint64(b[72:], logAt)
	le.PutUint32(b[4:], crc32.Checksum(b, crc32c))
	return b
}

// regionsOf is the table that says where the others are.
func regionsOf(table int64) []byte {
	b := make([]byte, regionsSize)
	copy(b, "regi")
	le.PutUint32(b[8:], 2)
	for i, r := range []struct {
		id       string
		at, size int64
	}{{regionTable, tableAt, table}, {regionMetadata, metadataAt, mib}} {
		e := b[16+32*i:]
		copy(e, known(r.id))
		le.PutUint64(e[16:], uint64(r.at))
		le.PutUint32(e[24:], uint32(r.size))
		le.PutUint32(e[28:], 1)
	}
	le.PutUint32(b[4:], crc32.Checksum(b, crc32c))
	return b
}

// metadata is what the image says about the disk.
func metadata(size int64, o Options) []byte {
	u32 := func(v uint32) []byte { return le.AppendUint32(nil, v) }
	items := []struct {
		id    string
		flags uint32
		value []byte
	}{
		{itemFile, isRequired, append(u32(blockSize), u32(0)...)},
		{itemSize, isRequired | isVirtualDisk, le.AppendUint64(nil, uint64(size))},
		{itemID, isRequired | isVirtualDisk, o.ID.Mixed()},
		{itemLogical, isRequired | isVirtualDisk, u32(sectorSize)},
		{itemPhysical, isRequired | isVirtualDisk, u32(sectorSize)},
	}
	b := make([]byte, mib)
	copy(b, "metadata")
	le.PutUint16(b[10:], uint16(len(items)))
	at := itemsAt
	for i, item := range items {
		e := b[32+32*i:]
		copy(e, known(item.id))
		le.PutUint32(e[16:], uint32(at))
		le.PutUint32(e[20:], uint32(len(item.value)))
		le.PutUint32(e[24:], item.flags)
		at += copy(b[at:], item.value)
	}
	return b
}

// known is an identifier of the specification as it stands in a file.
func known(s string) []byte {
	u, err := disk.ParseUUID(s)
	if err != nil {
		panic(err) // it is written above
	}
	return u.Mixed()
}

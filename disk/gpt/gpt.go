package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/mbr"
)

// MaxPartitions is the number of entries that a table here has room for.
const MaxPartitions = 128

const (
	entrySize    = 128
	tableSectors = MaxPartitions * entrySize / disk.SectorSize
	// First is the first sector that a partition may use.
	First = 2 + tableSectors
	// Reserved is the number of sectors at the end that no partition may use:
	// the copy of the table.
	Reserved = 1 + tableSectors
)

// MaxName is the number of UTF-16 units that a partition's name may have.
const MaxName = 36

// Types of partitions, from the UEFI Specification and the Discoverable
// Partitions Specification.
var (
	TypeLinux    = must("0fc63daf-8483-4772-8e79-3d69d8477de4")
	TypeESP      = must("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	TypeBIOSBoot = must("21686148-6449-6e6f-744e-656564454649")
	TypePReP     = must("9e1a2d38-c612-4316-aa26-8b49521e5a8b")
	TypeSwap     = must("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f")
	TypeHome     = must("933ac7e1-2eb4-4f13-b844-0e14e2aef915")
	TypeLVM      = must("e6d6d379-f507-44c2-a23c-238f2a3df928")
	TypeLUKS     = must("ca7d7ccb-63ed-4c53-861c-1742536059cc")
	TypeRAID     = must("a19d880f-05fc-4d3b-a006-743f0f84911e")
	TypeXBoot    = must("bc13c2ff-59e6-4262-a352-b275fd6f7172")
)

func must(s string) disk.UUID {
	u, err := disk.ParseUUID(s)
	if err != nil {
		panic(err)
	}
	return u
}

// names are the words that sfdisk knows for types.
var names = map[string]disk.UUID{
	"linux": TypeLinux, "l": TypeLinux, "swap": TypeSwap, "s": TypeSwap, "home": TypeHome, "h": TypeHome,
	"uefi": TypeESP, "u": TypeESP, "raid": TypeRAID, "r": TypeRAID, "lvm": TypeLVM, "v": TypeLVM, "xbootldr": TypeXBoot,
}

// ParseType reads a type of partition: a UUID, or one of sfdisk's words.
func ParseType(s string) (disk.UUID, error) {
	if u, ok := names[strings.ToLower(s)]; ok {
		return u, nil
	}
	u, err := disk.ParseUUID(s)
	if err != nil {
		return u, fmt.Errorf("%q is not a partition type of a GPT: write a UUID, or linux, swap, home, uefi, raid, lvm or xbootldr", s)
	}
	return u, nil
}

// Partition is one partition.
type Partition struct {
	// Start is the first sector and Sectors their number.
	Start, Sectors uint64
	// Type says what it is for.
	Type disk.UUID
	// ID identifies it; Linux shows it as its PARTUUID.
	ID disk.UUID
	// Name is its name, of up to MaxName UTF-16 units.
	Name string
	// Bootable sets the flag by which old BIOS loaders find it.
	Bootable bool
}

// Table is the partition table of a disk.
type Table struct {
	// ID identifies the disk; Linux shows it as its PTUUID.
	ID disk.UUID
	// Partitions are the entries from 1 on, in this order.
	Partitions []Partition
}

// Check reports what is wrong with the table on a disk of the given number of
// sectors: too many partitions, one that is empty, lies where the table is or
// behind the end, overlaps another or has its identifier, or a name that is too
// long.
func (t *Table) Check(sectors uint64) error {
	if sectors < First+Reserved+1 {
		return fmt.Errorf("a disk of %d sectors is too small for a GPT", sectors)
	}
	if len(t.Partitions) > MaxPartitions {
		return fmt.Errorf("%d partitions: the table has room for %d", len(t.Partitions), MaxPartitions)
	}
	var errs []error
	for i, p := range t.Partitions {
		end := p.Start + p.Sectors
		switch {
		case p.Sectors == 0:
			errs = append(errs, fmt.Errorf("partition %d is empty", i+1))
		case p.Start < First:
			errs = append(errs, fmt.Errorf("partition %d starts in sector %d, and the first %d hold the partition table", i+1, p.Start, First))
		case end < p.Start || end > sectors-Reserved:
			errs = append(errs, fmt.Errorf("partition %d reaches sector %d, and the last that a partition may use is %d: the disk has %d sectors, and the end holds a copy of the partition table", i+1, end-1, sectors-Reserved-1, sectors))
		case p.Type == disk.UUID{}:
			errs = append(errs, fmt.Errorf("partition %d has no type", i+1))
		case len(utf16.Encode([]rune(p.Name))) > MaxName:
			errs = append(errs, fmt.Errorf("the name %q of partition %d is longer than %d characters", p.Name, i+1, MaxName))
		}
		for j, q := range t.Partitions[:i] {
			if p.Start < q.Start+q.Sectors && q.Start < end {
				errs = append(errs, fmt.Errorf("partition %d overlaps partition %d", i+1, j+1))
			}
			if p.ID == q.ID {
				errs = append(errs, fmt.Errorf("partition %d has the identifier of partition %d, %s", i+1, j+1, p.ID))
			}
		}
	}
	return errors.Join(errs...)
}

// Write checks the table and writes it, both copies, onto a disk of the given
// number of sectors.
func (t *Table) Write(w io.WriterAt, sectors uint64) error {
	if err := t.Check(sectors); err != nil {
		return err
	}
	protective := mbr.Table{Partitions: []mbr.Partition{{Start: 1, Sectors: min(sectors-1, mbr.MaxSectors), Type: mbr.TypeGPT}}}
	if err := protective.Write(w, sectors); err != nil {
		return err
	}
	entries := t.entries()
	last := sectors - 1
	for _, part := range []struct {
		sector uint64
		data   []byte
	}{
		{2, entries},
		{last - tableSectors, entries},
		{last, t.header(last, 1, last-tableSectors, sectors, entries)},
		{1, t.header(1, last, 2, sectors, entries)},
	} {
		if _, err := w.WriteAt(part.data, int64(part.sector)*disk.SectorSize); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) entries() []byte {
	le := binary.LittleEndian
	b := make([]byte, MaxPartitions*entrySize)
	for i, p := range t.Partitions {
		e := b[i*entrySize:][:entrySize]
		putGUID(e, p.Type)
		putGUID(e[16:], p.ID)
		le.PutUint64(e[32:], p.Start)
		le.PutUint64(e[40:], p.Start+p.Sectors-1)
		if p.Bootable {
			le.PutUint64(e[48:], 1<<2)
		}
		for j, c := range utf16.Encode([]rune(p.Name)) {
			le.PutUint16(e[56+2*j:], c)
		}
	}
	return b
}

// header returns the sector of a header that lies at self, with the other one
// at other and the entries from first on.
func (t *Table) header(self, other, first, sectors uint64, entries []byte) []byte {
	const size = 92
	le := binary.LittleEndian
	b := make([]byte, disk.SectorSize)
	copy(b, "EFI PART")
	le.PutUint32(b[8:], 0x00010000)
	le.PutUint32(b[12:], size)
	le.PutUint64(b[24:], self)
	le.PutUint64(b[32:], other)
	le.PutUint64(b[40:], First)
	le.PutUint64(b[48:], sectors-Reserved-1)
	putGUID(b[56:], t.ID)
	le.PutUint64(b[72:], first)
	le.PutUint32(b[80:], MaxPartitions)
	le.PutUint32(b[84:], entrySize)
	le.PutUint32(b[88:], crc32.ChecksumIEEE(entries))
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:size]))
	return b
}

// putGUID stores an identifier in the mixed order of UEFI: the first three
// groups have their lowest byte first.
func putGUID(b []byte, u disk.UUID) {
	copy(b, u[:])
	b[0], b[1], b[2], b[3] = u[3], u[2], u[1], u[0]
	b[4], b[5], b[6], b[7] = u[5], u[4], u[7], u[6]
}

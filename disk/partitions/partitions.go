package partitions

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk"
)

// The kinds of partition tables.
const (
	GPT = "gpt"
	DOS = "dos"
)

// Partition is an entry of a table.
type Partition struct {
	// Number is that of the entry, from 1; logical partitions start at 5.
	Number int
	// Start and Size are in bytes.
	Start, Size int64
	// Type is the type's GUID in lower case, or two hexadecimal digits in a DOS
	// table.
	Type string
	// UUID identifies the partition; in a DOS table it is made of the disk's
	// signature and the number, as Linux makes it.
	UUID string
	// Name is the name in a GPT.
	Name string
	// Bootable is the active flag of a DOS table, or the legacy BIOS bootable
	// attribute of a GPT.
	Bootable bool
}

// Table is the partition table of a disk.
type Table struct {
	// Kind is GPT or DOS.
	Kind string
	// ID is the disk's GUID in lower case, or its signature as 0x and eight
	// hexadecimal digits.
	ID string
	// Partitions are the used entries, in the order of their numbers.
	Partitions []Partition
	// BootCode tells whether the first sector starts with code for a BIOS.
	BootCode bool
	// Problems are what is wrong with the table, in words.
	Problems []string
}

// ErrNone says that a disk has no partition table.
var ErrNone = errors.New("no partition table")

var le = binary.LittleEndian

// Read reads the table of a disk of size bytes. A disk without one gives
// ErrNone.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	first := make([]byte, disk.SectorSize)
	if err := readFull(r, first, 0); err != nil {
		return nil, fmt.Errorf("reading the first sector: %w", err)
	}
	var t *Table
	var err error
	switch {
	case first[510] != 0x55 || first[511] != 0xaa:
		t, err = readGPT(r, size)
		if errors.Is(err, errNoGPT) {
			err = ErrNone
		}
	case protective(first):
		t, err = readGPT(r, size)
	case isFileSystem(first):
		return nil, ErrNone
	default:
		t, err = readDOS(r, first)
	}
	if err != nil {
		return nil, err
	}
	t.BootCode = slices.ContainsFunc(first[:440], func(b byte) bool { return b != 0 })
	t.check(size)
	return t, nil
}

// readFull fills b; a disk that ends before is an error.
func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// protective tells whether one of the entries says that the disk has a GPT.
func protective(first []byte) bool {
	for i := range 4 {
		if first[446+i*16+4] == typeProtective {
			return true
		}
	}
	return false
}

// isFileSystem tells the boot sector of a FAT, NTFS or similar file system from
// a partition table: both end with the same signature.
func isFileSystem(first []byte) bool {
	if jump := first[0]; jump != 0xeb && jump != 0xe9 {
		return false
	}
	for _, at := range []int{3, 54, 82} {
		for _, name := range []string{"FAT", "NTFS", "EXFAT", "mkfs.fat", "MSDOS", "MSWIN"} {
			if string(first[at:at+len(name)]) == name {
				return true
			}
		}
	}
	return false
}

// check reports partitions that leave the disk or overlap.
func (t *Table) check(size int64) {
	byStart := slices.Clone(t.Partitions)
	slices.SortStableFunc(byStart, func(a, b Partition) int {
		if a.Start < b.Start {
			return -1
		}
		if a.Start > b.Start {
			return 1
		}
		return 0
	})
	end, last := int64(0), 0
	for _, p := range byStart {
		if p.Start+p.Size > size {
			t.problem("partition %d ends behind the disk", p.Number)
		}
		if t.IsExtended(p) {
			continue
		}
		if p.Start < end {
			t.problem("partitions %d and %d overlap", last, p.Number)
		}
		if p.Start+p.Size > end {
			end, last = p.Start+p.Size, p.Number
		}
	}
}

func (t *Table) problem(format string, args ...any) {
	t.Problems = append(t.Problems, fmt.Sprintf(format, args...))
}

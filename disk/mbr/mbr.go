package mbr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
)

// CodeSize is the number of bytes at the start of the disk that belong to the
// boot loader.
const CodeSize = 440

// Types of partitions.
const (
	TypeLinux = 0x83
	TypeSwap  = 0x82
	TypeLVM   = 0x8e
	TypePReP  = 0x41
	TypeESP   = 0xef
	// TypeGPT is that of the one partition that keeps old programs off a disk
	// with a GPT.
	TypeGPT = 0xee
)

// names are the words that sfdisk knows for types.
var names = map[string]byte{
	"linux": TypeLinux, "l": TypeLinux, "swap": TypeSwap, "s": TypeSwap, "uefi": TypeESP, "u": TypeESP, "raid": 0xfd, "r": 0xfd, "lvm": 0x8e, "v": 0x8e,
}

// ParseType reads a type of partition: up to two hexadecimal digits, or one of
// sfdisk's words.
func ParseType(s string) (byte, error) {
	if t, ok := names[strings.ToLower(s)]; ok {
		return t, nil
	}
	v, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 8)
	switch {
	case err != nil || strings.ContainsAny(s, "+-_"):
		return 0, fmt.Errorf("%q is not a partition type of a DOS partition table: write two hexadecimal digits such as 83, or linux, swap, uefi, raid or lvm", s)
	case v == 0:
		return 0, errors.New("the partition type 0 means that there is no partition")
	case v == 0x05 || v == 0x0f || v == 0x85:
		return 0, fmt.Errorf("extended partitions (type %x) are not supported: use pttype gpt for more than 4 partitions", v)
	}
	return byte(v), nil
}

// MaxSectors is the number of sectors that a DOS partition table can reach:
// 2 TiB less one sector.
const MaxSectors = 1<<32 - 1

// Partition is one primary partition.
type Partition struct {
	// Start is the first sector and Sectors their number.
	Start, Sectors uint64
	// Type is the partition type, such as TypeLinux.
	Type byte
	// Bootable sets the active flag.
	Bootable bool
}

// Table is the partition table of a disk.
type Table struct {
	// Signature identifies the disk; Linux shows it as its PTUUID.
	Signature uint32
	// Partitions are entries 1 to 4, in this order.
	Partitions []Partition
}

// ParseSignature reads a disk signature: "0x" and one to eight hexadecimal
// digits, as sfdisk's label-id has them.
func ParseSignature(s string) (uint32, error) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits) == 0 || len(digits) > 8 || strings.ContainsAny(digits, "+-_") {
		return 0, signatureError(s)
	}
	v, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		return 0, signatureError(s)
	}
	return uint32(v), nil
}

func signatureError(s string) error {
	return fmt.Errorf("%q is not a disk signature: write 0x and up to eight hexadecimal digits, such as 0x14fc63d2", s)
}

// Check reports what is wrong with the table on a disk of the given number of
// sectors: too many partitions, one that is empty, starts in the first sector,
// reaches behind the end or overlaps another.
func (t *Table) Check(sectors uint64) error {
	if len(t.Partitions) > 4 {
		return fmt.Errorf("%d partitions: a DOS partition table has room for 4", len(t.Partitions))
	}
	var errs []error
	for i, p := range t.Partitions {
		end := p.Start + p.Sectors
		switch {
		case p.Sectors == 0:
			errs = append(errs, fmt.Errorf("partition %d is empty", i+1))
		case p.Start == 0:
			errs = append(errs, fmt.Errorf("partition %d starts in sector 0, which holds the partition table", i+1))
		case end < p.Start || end > sectors:
			errs = append(errs, fmt.Errorf("partition %d reaches sector %d, and the disk has %d", i+1, end, sectors))
		case p.Start > MaxSectors || p.Sectors > MaxSectors:
			errs = append(errs, fmt.Errorf("partition %d is out of the reach of a DOS partition table, which is 2 TiB", i+1))
		}
		for j, q := range t.Partitions[:i] {
			if p.Start < q.Start+q.Sectors && q.Start < end {
				errs = append(errs, fmt.Errorf("partition %d overlaps partition %d", i+1, j+1))
			}
		}
	}
	return errors.Join(errs...)
}

// Write checks the table and writes it to bytes 440–511 of a disk of the given
// number of sectors. The boot code before it is left alone.
func (t *Table) Write(w io.WriterAt, sectors uint64) error {
	if err := t.Check(sectors); err != nil {
		return err
	}
	_, err := w.WriteAt(t.bytes(), CodeSize)
	return err
}

// bytes returns the last 72 bytes of the first sector.
func (t *Table) bytes() []byte {
	b := make([]byte, disk.SectorSize-CodeSize)
	binary.LittleEndian.PutUint32(b, t.Signature)
	for i, p := range t.Partitions {
		e := b[6+16*i:]
		if p.Bootable {
			e[0] = 0x80
		}
		putCHS(e[1:4], p.Start)
		e[4] = p.Type
		putCHS(e[5:8], p.Start+p.Sectors-1)
		binary.LittleEndian.PutUint32(e[8:], uint32(p.Start))
		binary.LittleEndian.PutUint32(e[12:], uint32(p.Sectors))
	}
	b[70], b[71] = 0x55, 0xaa
	return b
}

// putCHS stores a sector number as cylinder, head and sector of the geometry
// that everybody assumes, 255 heads and 63 sectors. What lies behind cylinder
// 1023 gets the largest value, which readers take as "use the sector number".
func putCHS(b []byte, lba uint64) {
	const heads, perTrack = 255, 63
	c, h, s := lba/(heads*perTrack), lba/perTrack%heads, lba%perTrack+1
	if c > 1023 {
		c, h, s = 1023, 254, 63
	}
	b[0] = byte(h)
	b[1] = byte(s) | byte(c>>8)<<6
	b[2] = byte(c)
}

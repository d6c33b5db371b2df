package partitions

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"

	"github.com/osbuildkit/osbuildkit/disk"
)

// errNoGPT says that there is no header at all, damaged or not.
var errNoGPT = errors.New("there is no GPT header")

// Limits of a table: 128 entries of 128 bytes are usual.
const (
	maxEntries   = 1 << 12
	maxEntrySize = 1 << 12
)

// readGPT reads the first copy that is whole.
func readGPT(r io.ReaderAt, size int64) (*Table, error) {
	t, err := readGPTAt(r, 1)
	last := size/disk.SectorSize - 1
	if err == nil {
		if _, err := readGPTAt(r, last); err != nil {
			t.problem("the second copy of the partition table, at the end of the disk: %v", err)
		}
		return t, nil
	}
	second, err2 := readGPTAt(r, last)
	if err2 != nil {
		return nil, fmt.Errorf("partition table: %w", err)
	}
	second.problem("the first copy of the partition table: %v", err)
	return second, nil
}

// readGPTAt reads the copy whose header is in the given sector.
func readGPTAt(r io.ReaderAt, sector int64) (*Table, error) {
	h := make([]byte, disk.SectorSize)
	if sector < 1 {
		return nil, errNoGPT
	}
	if err := readFull(r, h, sector*disk.SectorSize); err != nil {
		return nil, err
	}
	if string(h[:8]) != "EFI PART" {
		return nil, errNoGPT
	}
	length := le.Uint32(h[12:])
	if length < 92 || length > uint32(len(h)) {
		return nil, fmt.Errorf("the header has %d bytes", length)
	}
	sum := le.Uint32(h[16:])
	clear(h[16:20])
	if crc32.ChecksumIEEE(h[:length]) != sum {
		return nil, errors.New("the checksum of the header is wrong")
	}
	at, count, entrySize := le.Uint64(h[72:]), le.Uint32(h[80:]), le.Uint32(h[84:])
	if at < 2 || at > 1<<50 || count > maxEntries || entrySize < 128 || entrySize > maxEntrySize {
		return nil, fmt.Errorf("%d entries of %d bytes at sector %d are not possible", count, entrySize, at)
	}
	entries := make([]byte, int(count)*int(entrySize))
	if err := readFull(r, entries, int64(at)*disk.SectorSize); err != nil {
		return nil, fmt.Errorf("reading the entries: %w", err)
	}
	if crc32.ChecksumIEEE(entries) != le.Uint32(h[88:]) {
		return nil, errors.New("the checksum of the entries is wrong")
	}
	t := &Table{Kind: GPT, ID: guid(h[56:72]).String()}
	for i := range int(count) {
		if p, ok := t.gptEntry(entries[i*int(entrySize):], i+1); ok {
			t.Partitions = append(t.Partitions, p)
		}
	}
	return t, nil
}

// gptEntry reads one entry.
func (t *Table) gptEntry(e []byte, number int) (p Partition, ok bool) {
	kind := guid(e[:16])
	if kind == (disk.UUID{}) {
		return p, false
	}
	first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
	if first > last || last > 1<<50 {
		t.problem("partition %d goes from sector %d to %d", number, first, last)
		return p, false
	}
	const legacyBootable = 1 << 2
	return Partition{
		Number: number, Type: kind.String(), UUID: guid(e[16:32]).String(), Name: name(e[56:128]),
		Start: int64(first) * disk.SectorSize, Size: int64(last-first+1) * disk.SectorSize,
		Bootable: le.Uint64(e[48:])&legacyBootable != 0,
	}, true
}

// guid reads the mixed byte order of the UEFI specification.
func guid(b []byte) disk.UUID { return disk.UUID(disk.UUID(b[:16]).Mixed()) }

// name reads UTF-16 up to the first zero.
func name(b []byte) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := le.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

package used

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Range is a run of bytes, from Start up to but not including End.
type Range struct {
	Start, End int64
}

// errUnknown says that a file system has a form whose map cannot be read here.
var errUnknown = errors.New("the map of its space cannot be read here")

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// kinds are the readers of the maps.
var kinds = map[string]func(r io.ReaderAt, size int64) ([]Range, error){
	"ext4": ext4Ranges, "xfs": xfsRanges, "btrfs": btrfsRanges, "vfat": vfatRanges, "swap": swapRanges, "erofs": erofsRanges,
}

// Ranges returns the parts in use of the file system of a kind (ext4, xfs,
// btrfs, vfat, erofs or swap) at the start of r, which has size bytes: in order,
// without overlaps. All of it is in use if its map cannot be read. The error is
// that of reading.
func Ranges(r io.ReaderAt, kind string, size int64) ([]Range, error) {
	whole := []Range{{0, size}}
	read, ok := kinds[kind]
	if !ok || size <= 0 {
		return whole, nil
	}
	list, err := read(r, size)
	switch {
	case errors.Is(err, errUnknown):
		return whole, nil
	case err != nil:
		return nil, fmt.Errorf("reading the map of the space of %s: %w", kind, err)
	}
	return Merge(list, size), nil
}

// Merge sorts ranges and joins those that touch, within 0 and size.
func Merge(list []Range, size int64) []Range {
	slices.SortFunc(list, func(a, b Range) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	var out []Range
	for _, r := range list {
		r.Start, r.End = max(0, r.Start), min(size, r.End)
		if r.Start >= r.End {
			continue
		}
		if n := len(out); n > 0 && out[n-1].End >= r.Start {
			out[n-1].End = max(out[n-1].End, r.End)
			continue
		}
		out = append(out, r)
	}
	return out
}

// without returns what is left of 0 to size when ranges are taken out.
func without(free []Range, size int64) []Range {
	var out []Range
	at := int64(0)
	for _, f := range Merge(free, size) {
		if f.Start > at {
			out = append(out, Range{at, f.Start})
		}
		at = f.End
	}
	if at < size {
		out = append(out, Range{at, size})
	}
	return out
}

// readAt reads n bytes; what ends before is no file system that is known.
func readAt(r io.ReaderAt, at int64, n int) ([]byte, error) {
	if at < 0 {
		return nil, errUnknown
	}
	b := make([]byte, n)
	if k, err := r.ReadAt(b, at); k < n {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, errUnknown
		}
		return nil, err
	}
	return b, nil
}

// swapRanges is that of the header: nothing else is read before it is written.
func swapRanges(_ io.ReaderAt, _ int64) ([]Range, error) { return []Range{{0, 4096}}, nil }

// erofsRanges is what the superblock counts: nothing of EROFS is free.
func erofsRanges(r io.ReaderAt, _ int64) ([]Range, error) {
	b, err := readAt(r, 1024, 64)
	if err != nil {
		return nil, err
	}
	if le.Uint32(b) != 0xe0f5e1e2 || b[12] > 16 {
		return nil, errUnknown
	}
	return []Range{{0, int64(le.Uint32(b[36:])) << b[12]}}, nil
}

// vfatRanges reads the first table of a FAT16 or FAT32: entries that are zero are
// free clusters.
func vfatRanges(r io.ReaderAt, size int64) ([]Range, error) {
	b, err := readAt(r, 0, 512)
	if err != nil {
		return nil, err
	}
	sector, perCluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, tables, root := int64(le.Uint16(b[14:])), int64(b[16]), int64(le.Uint16(b[17:]))
	total, perTable := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	if perTable == 0 {
		perTable = int64(le.Uint32(b[36:]))
	}
	if b[510] != 0x55 || b[511] != 0xaa || sector < 512 || sector > 4096 || perCluster == 0 || reserved == 0 || total*sector > size {
		return nil, errUnknown
	}
	data := reserved + tables*perTable + (root*32+sector-1)/sector
	clusters, width := (total-data)/perCluster, int64(4)
	if clusters < 65525 {
		width = 2
	}
	if clusters < 4085 || (clusters+2)*width > perTable*sector {
		return nil, errUnknown
	}
	out := []Range{{0, data * sector}}
	const step = 1 << 18
	for first := int64(2); first < clusters+2; first += step {
		n := min(step, clusters+2-first)
		table, err := readAt(r, reserved*sector+first*width, int(n*width))
		if err != nil {
			return nil, err
		}
		for i := range n {
			entry := table[i*width:][:width]
			if width == 2 && le.Uint16(entry) != 0 || width == 4 && le.Uint32(entry)&0x0fffffff != 0 {
				out = appendRun(out, Range{(data + (first+i-2)*perCluster) * sector, (data + (first+i-1)*perCluster) * sector})
			}
		}
	}
	return out, nil
}

// appendRun adds a range, to the last one if it goes on there.
func appendRun(list []Range, r Range) []Range {
	if n := len(list); n > 0 && list[n-1].End == r.Start {
		list[n-1].End = r.End
		return list
	}
	return append(list, r)
}

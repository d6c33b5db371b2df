package fsread

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// geometry is what the first sector of a FAT file system says.
type geometry struct {
	sector, cluster     int64 // sizes in bytes
	table               int64 // offset of the first table
	root, rootSize      int64 // the root directory of FAT12 and FAT16
	rootCluster         uint32
	data                int64 // offset of cluster 2
	clusters            uint32
	total               int64 // sectors
	bits                int   // of an entry of the table: 12, 16 or 32
	label, id, typeName string
}

var errNotFAT = errors.New("not a FAT file system")

// fatGeometry reads the first sector.
func fatGeometry(b []byte) (*geometry, error) {
	if b[510] != 0x55 || b[511] != 0xaa || b[0] != 0xeb && b[0] != 0xe9 {
		return nil, errNotFAT
	}
	g := &geometry{sector: int64(le.Uint16(b[0xb:])), total: int64(le.Uint16(b[0x13:]))}
	perCluster, reserved, tables := int64(b[0xd]), int64(le.Uint16(b[0xe:])), int64(b[0x10])
	rootEntries, tableSize := int64(le.Uint16(b[0x11:])), int64(le.Uint16(b[0x16:]))
	if g.total == 0 {
		g.total = int64(le.Uint32(b[0x20:]))
	}
	ext := b[0x24:]
	if tableSize == 0 {
		tableSize = int64(le.Uint32(b[0x24:]))
		g.bits, g.rootCluster = 32, le.Uint32(b[0x2c:])
		ext = b[0x40:]
	}
	power := func(n int64) bool { return n > 0 && n&(n-1) == 0 }
	if !power(g.sector) || g.sector < 512 || g.sector > 4096 || !power(perCluster) || reserved == 0 || tables < 1 || tables > 4 || tableSize == 0 {
		return nil, errNotFAT
	}
	g.cluster = perCluster * g.sector
	g.table = reserved * g.sector
	g.root = g.table + tables*tableSize*g.sector
	g.rootSize = rootEntries * 32
	g.data = g.root + (g.rootSize+g.sector-1)/g.sector*g.sector
	if g.data >= g.total*g.sector {
		return nil, errNotFAT
	}
	clusters := (g.total*g.sector - g.data) / g.cluster
	switch {
	case g.bits == 32:
	case clusters < 4085:
		g.bits = 12
	default:
		g.bits = 16
	}
	// Only as many as the table has entries for.
	g.clusters = uint32(min(clusters, tableSize*g.sector*8/int64(g.bits)-2, 1<<28))
	if ext[2] == 0x29 {
		id := le.Uint32(ext[3:])
		g.id = fmt.Sprintf("%04X-%04X", id>>16, id&0xffff)
		if g.label = text(ext[7:18]); g.label == "NO NAME" {
			g.label = ""
		}
	}
	return g, nil
}

// fat is a FAT file system. A node's number is the offset of its directory
// entry; the root has none and is 0.
type fat struct {
	*geometry
	r      io.ReaderAt
	budget *limit.Budget
	cache  []byte // a piece of the table
	at     int64  // its offset
	// claimed says which directory has a cluster, of those that were read.
	claimed map[uint32]uint64
}

func openFAT(b *limit.Budget, r io.ReaderAt, size int64) (*fat, error) {
	first := make([]byte, 512)
	if err := readFull(r, first, 0); err != nil {
		return nil, err
	}
	g, err := fatGeometry(first)
	if err != nil {
		return nil, err
	}
	if g.total*g.sector > size {
		return nil, damaged("it has %d bytes and lies in %d", g.total*g.sector, size)
	}
	return &fat{geometry: g, r: r, budget: b, at: -1, claimed: map[uint32]uint64{}}, nil
}

// Root is 0.
func (f *fat) Root() uint64 { return 0 }

// fatEntry is an entry of a directory.
type fatEntry struct {
	cluster   uint32
	size      int64
	directory bool
	modified  time.Time
}

const (
	attributeLabel     = 0x08
	attributeDirectory = 0x10
	attributeLongName  = 0x0f
)

func parseFATEntry(b []byte) fatEntry {
	date, clock := int(le.Uint16(b[24:])), int(le.Uint16(b[22:]))
	return fatEntry{
		cluster:   uint32(le.Uint16(b[20:]))<<16 | uint32(le.Uint16(b[26:])),
		size:      int64(le.Uint32(b[28:])),
		directory: b[11]&attributeDirectory != 0,
		modified:  time.Date(1980+date>>9, time.Month(date>>5&15), date&31, clock>>11, clock>>5&63, clock&31*2, 0, time.UTC),
	}
}

// entry reads the entry of a node.
func (f *fat) entry(number uint64) (fatEntry, error) {
	if number == 0 {
		return fatEntry{cluster: f.rootCluster, directory: true, modified: time.Unix(0, 0).UTC()}, nil
	}
	if number > 1<<50 || number%32 != 0 {
		return fatEntry{}, damaged("an entry at %d", number)
	}
	b := make([]byte, 32)
	if err := readFull(f.r, b, int64(number)); err != nil {
		return fatEntry{}, err
	}
	e := parseFATEntry(b)
	if f.bits < 32 {
		e.cluster &= 0xffff
	}
	return e, nil
}

// Node says what FAT knows about a file: everything belongs to root.
func (f *fat) Node(number uint64) (*Node, error) {
	e, err := f.entry(number)
	if err != nil {
		return nil, err
	}
	n := &Node{Mode: TypeRegular | 0o755, Size: e.size, Links: 1, ModTime: e.modified}
	if e.directory {
		n.Mode, n.Size = TypeDir|0o755, 0
	}
	return n, nil
}

// chain follows the table from a cluster on, as far as most bytes of content
// need it, and one cluster further.
func (f *fat) chain(cluster uint32, most int64) ([]part, error) {
	var parts []part
	at := int64(0)
	for cluster >= 2 && !f.isEnd(cluster) && at <= most {
		if cluster-2 >= f.clusters {
			return nil, damaged("cluster %d of %d", cluster, f.clusters)
		}
		if at/f.cluster > int64(f.clusters) {
			return nil, damaged("a chain of clusters without end")
		}
		disk := f.data + int64(cluster-2)*f.cluster
		if last := len(parts) - 1; last >= 0 && parts[last].disk+parts[last].size == disk {
			parts[last].size += f.cluster
		} else {
			if len(parts) >= maxParts {
				return nil, damaged("a file in more than %d parts", maxParts)
			}
			parts = append(parts, part{at, disk, f.cluster})
		}
		at += f.cluster
		var err error
		if cluster, err = f.next(cluster); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// claim notes that clusters belong to a directory. No other directory may have
// one of them: else a few directories could hold an endless number of files.
func (f *fat) claim(number uint64, parts []part) error {
	for _, p := range parts {
		for at := int64(0); at < p.size; at += f.cluster {
			cluster := uint32((p.disk + at - f.data) / f.cluster)
			if owner, ok := f.claimed[cluster]; ok && owner != number {
				return damaged("two directories have the cluster %d", cluster+2)
			}
			f.claimed[cluster] = number
		}
	}
	return nil
}

func (f *fat) isEnd(cluster uint32) bool {
	return cluster >= map[int]uint32{12: 0xff7, 16: 0xfff7, 32: 0x0ffffff7}[f.bits]
}

// next reads the table.
func (f *fat) next(cluster uint32) (uint32, error) {
	const piece = 32 << 10
	at := int64(cluster) * int64(f.bits) / 8
	var b [4]byte
	width := 2
	if f.bits == 32 {
		width = 4
	}
	if err := f.budget.Err(); err != nil {
		return 0, err
	}
	for i := range width {
		o := f.table + at + int64(i)
		if f.at < 0 || o < f.at || o >= f.at+int64(len(f.cache)) {
			f.at = o / piece * piece
			f.cache = make([]byte, min(piece, max(0, f.total*f.sector-f.at)))
			if err := readFull(f.r, f.cache, f.at); err != nil {
				f.at = -1
				return 0, err
			}
			if o >= f.at+int64(len(f.cache)) {
				return 0, damaged("the table ends early")
			}
		}
		b[i] = f.cache[o-f.at]
	}
	v := le.Uint32(b[:])
	switch {
	case f.bits == 32:
		v &= 0x0fffffff
	case f.bits == 12 && cluster&1 == 1:
		v >>= 4
	case f.bits == 12:
		v &= 0xfff
	}
	return v, nil
}

// Open returns the content of a file.
func (f *fat) Open(number uint64) (sparse.Source, int64, error) {
	e, err := f.entry(number)
	if err != nil {
		return nil, 0, err
	}
	if e.directory {
		return nil, 0, fmt.Errorf("not a regular file, so its content %w", ErrUnsupported)
	}
	parts, err := f.chain(e.cluster, e.size)
	if err != nil {
		return nil, 0, err
	}
	have := int64(0)
	for _, p := range parts {
		have += p.size
	}
	if have < e.size {
		return nil, 0, damaged("a file of %d bytes has %d", e.size, have)
	}
	return &content{r: f.r, parts: parts, size: e.size}, e.size, nil
}

package vfat

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

const sector = disk.SectorSize

// MinSize is the size in bytes of the smallest file system that Make makes.
const MinSize = 4 << 20

// maxFile is the size of the largest file.
const maxFile = 1<<32 - 1

// Limits of the number of clusters, from Microsoft's FAT specification: from
// the second on a FAT is a FAT32.
const (
	minClusters16 = 4085
	minClusters32 = 65525
	maxClusters32 = 0x0ffffff5
)

var le = binary.LittleEndian

// ParseID reads the identifier of a FAT as blkid writes it, such as
// ABCD-1234, into the first four bytes of a UUID.
func ParseID(s string) (disk.UUID, error) {
	var u disk.UUID
	if len(s) == 9 && s[4] == '-' {
		if _, err := hex.Decode(u[:4], []byte(s[:4]+s[5:])); err == nil {
			return u, nil
		}
	}
	return u, fmt.Errorf("%q is not the identifier of a FAT file system: write eight hexadecimal digits as 4-4, such as C0FF-EE01", s)
}

// FormatID writes the identifier as blkid does.
func FormatID(u disk.UUID) string {
	h := strings.ToUpper(hex.EncodeToString(u[:4]))
	return h[:4] + "-" + h[4:]
}

// MaxLabel is the length of the longest label in bytes.
const MaxLabel = 11

// CutLabel returns what mkfs.fat made of a label until its version 4.2: the
// first 11 bytes, of which those at the end that are spaces are not seen.
func CutLabel(label string) string {
	if len(label) <= MaxLabel {
		return label
	}
	return strings.TrimRight(label[:MaxLabel], " ")
}

// CheckLabel reports why a label cannot be that of a FAT.
func CheckLabel(label string) error {
	if len(label) > MaxLabel {
		return fmt.Errorf("the FAT label %q is longer than %d bytes", label, MaxLabel)
	}
	for i := range len(label) {
		if c := label[i]; c < ' ' || c > '~' || strings.IndexByte(`"*+,./:;<=>?[\]|`, c) >= 0 {
			return fmt.Errorf("the FAT label %q has the character %q: use letters, digits, - and _", label, c)
		}
	}
	return nil
}

// geometry is how the place is divided.
type geometry struct {
	sectors    int64
	perCluster int64
	reserved   int64
	fat        int64 // sectors of one of the two tables
	root       int64 // sectors of the root directory, 0 in a FAT32
	clusters   int64
	wide       bool // FAT32
}

// plan divides a place of the given number of bytes.
func plan(size int64) (geometry, error) {
	g := geometry{sectors: size / sector}
	if size < MinSize {
		return g, fmt.Errorf("a FAT file system of %d bytes is too small: make it at least %d", size, int64(MinSize))
	}
	if g.sectors > 1<<32-1 {
		return g, fmt.Errorf("a FAT file system of %d bytes is too large: the limit is 2 TiB", size)
	}
	g.wide, g.reserved, g.perCluster = true, 32, 64
	for _, c := range []struct{ upTo, perCluster int64 }{{260 << 20, 1}, {8 << 30, 8}, {16 << 30, 16}, {32 << 30, 32}} {
		if size <= c.upTo {
			g.perCluster = c.perCluster
			break
		}
	}
	if g.count(); g.clusters >= minClusters32 {
		if g.clusters > maxClusters32 {
			return g, fmt.Errorf("a FAT file system of %d bytes has too many clusters", size)
		}
		return g, nil
	}
	// Only small places come here, so that a cluster of one sector is right.
	g.wide, g.reserved, g.root, g.perCluster = false, 4, 32, 1
	if g.count(); g.clusters >= minClusters32 || g.clusters < minClusters16 {
		// A few sectors more than a FAT16 has.
		g.perCluster = 2
		g.count()
	}
	return g, nil
}

// count works out the tables and the number of clusters.
func (g *geometry) count() {
	entry := int64(2)
	if g.wide {
		entry = 4
	}
	data := g.sectors - g.reserved - g.root
	g.fat = 0
	for {
		g.clusters = (data - 2*g.fat) / g.perCluster
		need := ((g.clusters+2)*entry + sector - 1) / sector
		if need <= g.fat {
			return
		}
		g.fat = need
	}
}

func (g *geometry) clusterSize() int64 { return g.perCluster * sector }

// dataStart returns the first sector of cluster 2.
func (g *geometry) dataStart() int64 { return g.reserved + 2*g.fat + g.root }

// writer writes one file system.
type writer struct {
	geometry
	c     *content.Tree
	to    content.Target
	table []uint32
	next  uint32
	buf   []byte
}

// Make writes the file system. The error is a *content.TooSmallError if the
// content does not fit, before anything is written.
func Make(ctx context.Context, c *content.Tree, to content.Target) (warnings []string, err error) {
	g, err := plan(to.Size)
	if err != nil {
		return nil, err
	}
	if err := CheckLabel(to.Label); err != nil {
		return nil, err
	}
	w := &writer{geometry: g, c: c, to: to, next: 2, buf: make([]byte, 1<<20)}
	root, err := newDirectory(c.Root, to.Label)
	if err != nil {
		return nil, err
	}
	if err := w.allocate(root); err != nil {
		return nil, err
	}
	if err := w.write(ctx, root); err != nil {
		return nil, err
	}
	if err := w.tables(); err != nil {
		return nil, err
	}
	return lost(c), w.headers(root)
}

// lost says which extended attributes the file system cannot have. Labels are
// not among them: those of a FAT come from the policy.
func lost(c *content.Tree) []string {
	n, first := 0, ""
	for _, f := range c.Files {
		for _, a := range f.Attributes {
			if a.Name != "security.selinux" {
				if n++; n == 1 {
					first = f.Path + " (" + a.Name + ")"
				}
			}
		}
	}
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("a FAT file system has no extended attributes: %d are left out, such as that of %s", n, first)}
}

// allocate gives clusters to directories and files, one after the other.
func (w *writer) allocate(root *directory) error {
	total := int64(0)
	var each func(d *directory)
	each = func(d *directory) {
		d.clusters = w.clustersOf(int64(len(d.entries)) * entrySize)
		if d == root {
			d.clusters = max(d.clusters, 1)
			if !w.wide {
				d.clusters = 0 // it has a place of its own
			}
		}
		total += d.clusters
		for _, e := range d.entries {
			if e.file != nil {
				total += w.clustersOf(e.file.Size)
			} else if e.sub != nil {
				each(e.sub)
			}
		}
	}
	each(root)
	if total > w.clusters {
		const overhead = 1 << 20
		return &content.TooSmallError{Needed: total*w.clusterSize() + (w.dataStart())*sector + overhead, Available: w.to.Size}
	}
	if most := w.root * sector / entrySize; !w.wide && int64(len(root.entries)) > most {
		return fmt.Errorf("the root directory of a FAT16 file system has room for %d entries, and %d are needed: make it at least 33 MiB", most, len(root.entries))
	}
	w.table = make([]uint32, 2, total+2)
	w.table[0], w.table[1] = 0x0ffffff8, 0x0fffffff
	var place func(d *directory)
	place = func(d *directory) {
		d.first = w.chain(d.clusters)
		for i := range d.entries {
			e := &d.entries[i]
			if e.file != nil {
				e.first = w.chain(w.clustersOf(e.file.Size))
			} else if e.sub != nil {
				place(e.sub)
				e.first = e.sub.first
			}
		}
	}
	place(root)
	return nil
}

func (w *writer) clustersOf(n int64) int64 { return (n + w.clusterSize() - 1) / w.clusterSize() }

// chain takes n clusters in a row and returns the first, 0 for none.
func (w *writer) chain(n int64) uint32 {
	if n == 0 {
		return 0
	}
	first := w.next
	for range n - 1 {
		w.next++
		w.table = append(w.table, w.next)
	}
	w.next++
	w.table = append(w.table, 0x0fffffff)
	return first
}

// at returns the place of a cluster on the disk.
func (w *writer) at(cluster uint32) int64 {
	return w.to.Offset + w.dataStart()*sector + int64(cluster-2)*w.clusterSize()
}

// write writes a directory and what is in it.
func (w *writer) write(ctx context.Context, d *directory) error {
	place := w.to.Offset + (w.reserved+2*w.fat)*sector
	if d.first != 0 {
		place = w.at(d.first)
	}
	if _, err := w.to.Disk.WriteAt(d.encode(), place); err != nil {
		return err
	}
	for _, e := range d.entries {
		if e.sub != nil {
			if err := w.write(ctx, e.sub); err != nil {
				return err
			}
		}
		if e.file == nil {
			continue
		}
		at := int64(0)
		if e.first != 0 {
			at = w.at(e.first)
		}
		err := w.c.Data(ctx, e.file, w.buf, func(off int64, data []byte) error {
			_, err := w.to.Disk.WriteAt(content.Whole(data, int(min(w.clusterSize(), content.BlockSize))), at+off)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tables writes both copies of the table of clusters.
func (w *writer) tables() error {
	var b []byte
	for _, v := range w.table {
		if w.wide {
			b = le.AppendUint32(b, v)
		} else {
			b = le.AppendUint16(b, uint16(v))
		}
	}
	for i := range int64(2) {
		if _, err := w.to.Disk.WriteAt(b, w.to.Offset+(w.reserved+i*w.fat)*sector); err != nil {
			return err
		}
	}
	return nil
}

// headers writes the boot sector and, in a FAT32, the count of what is free,
// and a copy of both.
func (w *writer) headers(root *directory) error {
	b := make([]byte, sector)
	copy(b, "\xeb\x58\x90osbuildk")
	le.PutUint16(b[11:], sector)
	b[13] = byte(w.perCluster)
	le.PutUint16(b[14:], uint16(w.reserved))
	b[16] = 2 // tables
	le.PutUint16(b[17:], uint16(w.root*sector/entrySize))
	b[21] = 0xf8 // a disk that is not removed
	le.PutUint16(b[24:], 63)
	le.PutUint16(b[26:], 255)
	if first := w.to.Offset / sector; first < 1<<32 {
		le.PutUint32(b[28:], uint32(first))
	}
	if w.sectors < 1<<16 {
		le.PutUint16(b[19:], uint16(w.sectors))
	} else {
		le.PutUint32(b[32:], uint32(w.sectors))
	}
	extended := b[36:]
	kind := "FAT16   "
	if w.wide {
		kind = "FAT32   "
		le.PutUint32(b[36:], uint32(w.fat))
		le.PutUint32(b[44:], root.first)
		le.PutUint16(b[48:], 1) // the sector of the count
		le.PutUint16(b[50:], 6) // the copy
		extended = b[64:]
	} else {
		b[1] = 0x3c
		le.PutUint16(b[22:], uint16(w.fat))
	}
	extended[0], extended[2] = 0x80, 0x29
	u := w.to.UUID
	copy(extended[3:], []byte{u[3], u[2], u[1], u[0]})
	copy(extended[7:18], labelField(w.to.Label))
	copy(extended[18:], kind)
	// Code that a BIOS would run: it asks for the next disk.
	copy(extended[26:], "\xcd\x18\xeb\xfe")
	b[510], b[511] = 0x55, 0xaa
	if !w.wide {
		_, err := w.to.Disk.WriteAt(b, w.to.Offset)
		return err
	}
	info := make([]byte, sector)
	copy(info, "RRaA")
	copy(info[484:], "rrAa")
	le.PutUint32(info[488:], uint32(w.clusters-int64(w.next-2)))
	le.PutUint32(info[492:], w.next)
	info[510], info[511] = 0x55, 0xaa
	for _, at := range []int64{6, 0} {
		if _, err := w.to.Disk.WriteAt(append(b[:sector:sector], info...), w.to.Offset+at*sector); err != nil {
			return err
		}
	}
	return nil
}

func labelField(label string) string {
	if label == "" {
		label = "NO NAME"
	}
	return fmt.Sprintf("%-11s", label)
}

// stamp returns a time as a FAT has it: in UTC, in steps of two seconds, from
// 1980 on.
func stamp(sec int64) (date, clock uint16) {
	t := time.Unix(sec, 0).UTC()
	year := t.Year() - 1980
	if year < 0 {
		return 1<<5 | 1, 0
	}
	return uint16(min(year, 127)<<9 | int(t.Month())<<5 | t.Day()), uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}

// checkFile reports why a file cannot be stored.
func checkFile(f *content.File) error {
	switch f.Kind() {
	case unix.S_IFREG:
		if f.Size > maxFile {
			return fmt.Errorf("%q has %d bytes, and a FAT file system takes files of up to 4 GiB less one byte", f.Path, f.Size)
		}
		return nil
	case unix.S_IFDIR:
		return nil
	case unix.S_IFLNK:
		return fmt.Errorf("%q is a symbolic link, which a FAT file system cannot hold", f.Path)
	}
	return fmt.Errorf("%q is a device or pipe, which a FAT file system cannot hold", f.Path)
}

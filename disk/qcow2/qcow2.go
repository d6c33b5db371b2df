package qcow2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Compression says how clusters are stored.
type Compression string

// The kinds of compression.
const (
	// None stores clusters as they are.
	None Compression = "none"
	// Zlib stores raw deflate streams, which every reader knows.
	Zlib Compression = "zlib"
	// Zstd stores Zstandard frames; readers need QEMU 5.1 or later.
	Zstd Compression = "zstd"
)

// Options says how an image is written.
type Options struct {
	// Compression is None, Zlib or Zstd; empty means Zstd, or Zlib in version 2.
	Compression Compression
	// ClusterSize is a power of two from 4 KiB to 2 MiB; 0 means 1 MiB for
	// Zstd and 64 KiB for the others.
	ClusterSize int
	// Version is that of the format: 2, which QEMU before 1.1 and some old
	// programs need, or 3; 0 means 3.
	Version int
	// Workers is the number of goroutines that compress; 0 means one per
	// processor. It does not change the result.
	Workers int
}

// work says how clusters are read and compressed.
func (o *Options) work() sparse.Work {
	w := sparse.Work{Block: o.ClusterSize, Workers: o.Workers}
	if o.Compression != None {
		w.New = func() (sparse.Transform, error) { return newCompressor(o.Compression, o.ClusterSize) }
	}
	return w
}

// Stats tells what was written.
type Stats struct {
	// Size is the length of the file in bytes.
	Size int64
	// Clusters is the number of clusters with data, Compressed of how many of
	// them are compressed.
	Clusters, Compressed int64
}

// maxSize bounds the virtual disk, and with it the tables.
const maxSize = 1 << 46

func (o *Options) fill() error {
	if o.Compression == "" {
		if o.Compression = Zstd; o.Version == 2 {
			o.Compression = Zlib
		}
	}
	if o.ClusterSize == 0 {
		o.ClusterSize = 64 << 10
		if o.Compression == Zstd {
			o.ClusterSize = 1 << 20
		}
	}
	if o.ClusterSize < 4<<10 || o.ClusterSize > 2<<20 || o.ClusterSize&(o.ClusterSize-1) != 0 {
		return fmt.Errorf("a qcow2 cluster of %d bytes is not a power of two from 4096 to 2097152", o.ClusterSize)
	}
	if o.Version == 0 {
		o.Version = 3
	}
	if o.Version != 2 && o.Version != 3 {
		return fmt.Errorf("qcow2 of version %d is not possible: use 2 or 3", o.Version)
	}
	if o.Version == 2 && o.Compression == Zstd {
		return errors.New("qcow2 of version 2 has no zstd compression: use zlib or none")
	}
	return nil
}

// Write writes the first size bytes of src as a qcow2 image to dst, which must
// be empty. The header comes last: what an interrupted Write leaves is not
// taken for an image. size must be a positive multiple of 512. Where src ends
// before size, the rest reads as zeros.
func Write(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64, o Options) (Stats, error) {
	w, err := newLayout(dst, size, o)
	if err != nil {
		return Stats{}, err
	}
	if err := sparse.Blocks(ctx, src, size, w.o.work(), w.add); err != nil {
		return Stats{}, err
	}
	return w.finish()
}

// Writer writes an image of a disk that is written to it piece by piece, as a
// sparse.Collector takes it. Clusters are stored in the order in which they
// became complete.
type Writer struct {
	*sparse.Collector
	l *layout
}

// NewWriter starts an image of size bytes in dst, which must be empty; o and
// size are as for Write, and scratch as for sparse.Collect. Finish or Stop must
// be called.
func NewWriter(ctx context.Context, dst io.WriterAt, size int64, o Options, scratch string) (*Writer, error) {
	l, err := newLayout(dst, size, o)
	if err != nil {
		return nil, err
	}
	c, err := sparse.Collect(ctx, size, l.o.work(), scratch, l.add)
	if err != nil {
		return nil, err
	}
	return &Writer{Collector: c, l: l}, nil
}

// Finish completes the image. The header comes last, as in Write.
func (w *Writer) Finish() (Stats, error) {
	if err := w.Close(); err != nil {
		return Stats{}, err
	}
	return w.l.finish()
}

// layout decides where things go in the file and keeps the tables.
type layout struct {
	dst  io.WriterAt
	size int64
	o    Options

	cluster   int64
	next      int64    // first cluster that nothing uses
	open, end int64    // free bytes in a cluster that holds compressed data
	refs      []uint16 // references to each cluster of the file
	l1        []uint64
	l2        map[int64][]byte // the tables by their place in l1
	stats     Stats
}

func newLayout(dst io.WriterAt, size int64, o Options) (*layout, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	if size <= 0 || size%512 != 0 || size > maxSize {
		return nil, fmt.Errorf("a qcow2 disk of %d bytes is not possible: the size must be a multiple of 512 of up to 64 TiB", size)
	}
	c := int64(o.ClusterSize)
	perTable := c * (c / 8)
	w := &layout{
		dst: dst, size: size, o: o, cluster: c,
		l1: make([]uint64, (size+perTable-1)/perTable),
		l2: map[int64][]byte{},
	}
	w.alloc(1) // the header
	return w, nil
}

// alloc takes n whole clusters and returns the offset of the first.
func (w *layout) alloc(n int64) int64 {
	at := w.next * w.cluster
	for range n {
		w.refs = append(w.refs, 1)
	}
	w.next += n
	return at
}

const (
	flagCopied     = 1 << 63 // exactly one reference
	flagCompressed = 1 << 62
)

// add stores the cluster with the given number of the disk: out if it is not
// nil, else raw as it is.
func (w *layout) add(index int64, raw, out []byte) error {
	w.stats.Clusters++
	var entry uint64
	if out == nil {
		at := w.alloc(1)
		if _, err := w.dst.WriteAt(raw, at); err != nil {
			return err
		}
		entry = uint64(at) | flagCopied
	} else {
		w.stats.Compressed++
		at := w.place(int64(len(out)))
		if _, err := w.dst.WriteAt(out, at); err != nil {
			return err
		}
		// The lower bits are the offset, the upper ones the number of
		// further sectors that the data touches.
		sectors := (at+int64(len(out))-1)/512 - at/512
		shift := 62 - (bits.TrailingZeros64(uint64(w.cluster)) - 8)
		entry = uint64(at) | uint64(sectors)<<shift | flagCompressed
	}
	perTable := w.cluster / 8
	table := w.l2[index/perTable]
	if table == nil {
		table = make([]byte, w.cluster)
		w.l2[index/perTable] = table
	}
	putBE64(table[index%perTable*8:], entry)
	return nil
}

// place finds room for n bytes of compressed data, packed byte after byte, and
// counts the references to the clusters that they touch.
func (w *layout) place(n int64) int64 {
	const maxRefs = 1<<16 - 1
	full := w.open < w.end && w.refs[w.open/w.cluster] == maxRefs
	switch {
	case w.open+n <= w.end && !full:
	case w.open < w.end && w.end == w.next*w.cluster && !full:
		// The open cluster is the last of the file: go on behind it.
		w.grow((w.open + n - w.end + w.cluster - 1) / w.cluster)
	default:
		w.open = w.next * w.cluster
		w.grow((n + w.cluster - 1) / w.cluster)
	}
	at := w.open
	w.open += n
	for c := at / w.cluster; c <= (at+n-1)/w.cluster; c++ {
		w.refs[c]++
	}
	return at
}

// grow takes n more clusters for compressed data, without references yet.
func (w *layout) grow(n int64) {
	w.refs = append(w.refs, make([]uint16, n)...)
	w.next += n
	w.end = w.next * w.cluster
}

// finish writes the tables and then the header.
func (w *layout) finish() (Stats, error) {
	for _, i := range slices.Sorted(maps.Keys(w.l2)) {
		at := w.alloc(1)
		w.l1[i] = uint64(at) | flagCopied
		if _, err := w.dst.WriteAt(w.l2[i], at); err != nil {
			return Stats{}, err
		}
	}
	h := header{
		clusterBits: bits.TrailingZeros64(uint64(w.cluster)),
		size:        w.size,
		l1Size:      len(w.l1),
		zstd:        w.o.Compression == Zstd,
		version:     w.o.Version,
	}
	l1Clusters := w.clusters(int64(len(w.l1)) * 8)
	h.l1 = w.alloc(l1Clusters)
	l1 := make([]byte, l1Clusters*w.cluster)
	for i, e := range w.l1 {
		putBE64(l1[i*8:], e)
	}
	if _, err := w.dst.WriteAt(l1, h.l1); err != nil {
		return Stats{}, err
	}
	var err error
	if h.refTable, h.refClusters, err = w.writeRefs(); err != nil {
		return Stats{}, err
	}
	first := make([]byte, w.cluster)
	h.encode(first)
	if _, err := w.dst.WriteAt(first, 0); err != nil {
		return Stats{}, err
	}
	w.stats.Size = w.next * w.cluster
	return w.stats, nil
}

// writeRefs writes the reference counts of all clusters, their own included,
// and the table of these blocks.
func (w *layout) writeRefs() (table, tableClusters int64, err error) {
	perBlock := w.cluster / 2
	var blocks int64
	for {
		// Blocks and table count themselves, so grow until they fit.
		tableClusters = w.clusters(blocks * 8)
		need := (w.next + blocks + tableClusters + perBlock - 1) / perBlock
		if need == blocks {
			break
		}
		blocks = need
	}
	table = w.alloc(tableClusters)
	first := w.alloc(blocks)
	tab := make([]byte, tableClusters*w.cluster)
	block := make([]byte, w.cluster)
	for b := range blocks {
		at := first + b*w.cluster
		putBE64(tab[b*8:], uint64(at))
		clear(block)
		for i, n := range w.refs[b*perBlock : min((b+1)*perBlock, w.next)] {
			block[2*i], block[2*i+1] = byte(n>>8), byte(n)
		}
		if _, err := w.dst.WriteAt(block, at); err != nil {
			return 0, 0, err
		}
	}
	_, err = w.dst.WriteAt(tab, table)
	return table, tableClusters, err
}

func (w *layout) clusters(n int64) int64 { return (n + w.cluster - 1) / w.cluster }

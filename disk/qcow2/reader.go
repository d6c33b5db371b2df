package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/osbuildkit/osbuildkit/disk/internal/blocks"
	"github.com/osbuildkit/osbuildkit/disk/limit"
)

// Image reads the disk in a qcow2 file, of version 2 or 3. It is safe for
// several goroutines. The file is not trusted.
type Image struct {
	*blocks.Disk
	r        io.ReaderAt
	budget   *limit.Budget
	bits     int
	cluster  int64
	size     int64
	zstd     bool
	version  int
	l1       uint64 // offset of the first table
	pages    *blocks.Pages
	decoder  *zstd.Decoder
	clusters *blocks.Recent[[]byte] // decompressed, by their entries
}

// Limits of what is taken for an image.
const (
	maxL1      = 4 << 20 // entries: those of QEMU
	offsetMask = 1<<56 - 1<<9
	flagZero   = 1
	// maxClusters bounds the clusters that are kept decompressed, in bytes.
	maxClusters = 16 << 20
)

// features are those of the header that a reader must know.
var features = []string{"dirty", "corrupt", "external data file", "compression type", "extended tables"}

// Features that are known here. What is dirty are reference counts alone.
const (
	incompatDirty = 1 << 0
	incompatKnown = incompatDirty | incompatCompression
)

// ErrNotQcow2 says that a file does not start as a qcow2 image does.
var ErrNotQcow2 = errors.New("not a qcow2 image")

// Open reads the header and looks through the tables of an image. An image that
// is only a part of the disk, such as one with a backing file, is an error, and
// so is one that uses a cluster twice.
func Open(r io.ReaderAt, b *limit.Budget) (*Image, error) {
	h := make([]byte, longHeader)
	if n, err := r.ReadAt(h, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if n < 72 || binary.BigEndian.Uint32(h) != magic {
		return nil, ErrNotQcow2
	}
	m := &Image{r: r, budget: b, pages: blocks.NewPages(r)}
	if err := m.header(h); err != nil {
		return nil, fmt.Errorf("qcow2 header: %w", err)
	}
	if m.zstd {
		var err error
		m.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(16<<20))
		if err != nil {
			return nil, err
		}
	}
	m.clusters = blocks.NewRecent[[]byte](min(64, int(max(2, maxClusters/m.cluster))))
	m.Disk = blocks.New(m.size, m.cluster, m)
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("qcow2 tables: %w", err)
	}
	return m, nil
}

// header reads what the header says.
func (m *Image) header(h []byte) error {
	be := binary.BigEndian
	m.version = int(be.Uint32(h[4:]))
	clusterBits := be.Uint32(h[20:])
	size := be.Uint64(h[24:])
	switch {
	case m.version != 2 && m.version != 3:
		return fmt.Errorf("version %d is not supported", m.version)
	case clusterBits < 9 || clusterBits > 21:
		return fmt.Errorf("clusters of 2^%d bytes are not possible", clusterBits)
	case be.Uint64(h[8:]) != 0:
		return errors.New("the image has a backing file: it is a part of a disk only; make it whole with qemu-img convert")
	case be.Uint32(h[32:]) != 0:
		return errors.New("the image is encrypted")
	case size > maxSize:
		return fmt.Errorf("a disk of %d bytes is not possible", size)
	}
	if m.version == 3 {
		if err := m.features(h); err != nil {
			return err
		}
	}
	m.bits, m.cluster, m.size = int(clusterBits), 1<<clusterBits, int64(size)
	perTable := m.cluster * (m.cluster / 8)
	want := (m.size + perTable - 1) / perTable
	have := int64(be.Uint32(h[36:]))
	if want > have || want > maxL1 {
		return fmt.Errorf("the table has %d entries for a disk that takes %d", have, want)
	}
	if m.l1 = be.Uint64(h[40:]); m.l1 > 1<<62 || m.l1%8 != 0 {
		return fmt.Errorf("the first table cannot be at %d", m.l1)
	}
	return nil
}

// features looks at what a reader must know.
func (m *Image) features(h []byte) error {
	be := binary.BigEndian
	bits := be.Uint64(h[72:])
	if unknown := bits &^ incompatKnown; unknown != 0 {
		for i, name := range features {
			if unknown == 1<<i {
				return fmt.Errorf("the feature %q is not supported", name)
			}
		}
		return fmt.Errorf("features %#x are not supported (external data file, extended tables, or newer than this program)", unknown)
	}
	if bits&incompatCompression == 0 {
		return nil
	}
	if be.Uint32(h[100:]) < longHeader || h[104] > compressionZstd {
		return fmt.Errorf("the compression type %d is not known", h[104])
	}
	m.zstd = h[104] == compressionZstd
	return nil
}

// check looks through all tables: no cluster may be used twice. What is
// compressed is not counted, as several of them may lie in a cluster: the budget
// bounds what they unpack to.
func (m *Image) check() error {
	claims := blocks.NewClaims()
	perTable := m.cluster / 8
	count := (m.size + m.cluster - 1) / m.cluster
	for first := int64(0); first < count; first += perTable {
		table, err := m.secondTable(first)
		if err != nil {
			return err
		}
		if table == 0 {
			continue
		}
		if err := claims.Add(table >> m.bits); err != nil {
			return err
		}
		for i := first; i < min(first+perTable, count); i++ {
			entry, err := m.pages.BE64(table + uint64(i-first)*8)
			if err != nil {
				return fmt.Errorf("second table: %w", err)
			}
			if entry&flagCompressed != 0 || entry&offsetMask == 0 {
				continue
			}
			if entry&offsetMask&uint64(m.cluster-1) != 0 {
				return fmt.Errorf("cluster %d lies at %d, within a cluster of the file", i, entry&offsetMask)
			}
			if err := claims.Add(entry & offsetMask >> m.bits); err != nil {
				return err
			}
		}
	}
	return nil
}

// Version is that of the format: 2, which QEMU also calls 0.10, or 3.
func (m *Image) Version() int { return m.version }

// ClusterSize is the unit of allocation in bytes.
func (m *Image) ClusterSize() int64 { return m.cluster }

// CompressionType is how clusters are compressed, if any is: Zlib or Zstd.
func (m *Image) CompressionType() Compression {
	if m.zstd {
		return Zstd
	}
	return Zlib
}

// secondTable returns the offset of the table with the entry of a cluster of the
// disk, 0 if there is none.
func (m *Image) secondTable(index int64) (uint64, error) {
	entry, err := m.pages.BE64(m.l1 + uint64(index/(m.cluster/8))*8)
	if err != nil {
		return 0, fmt.Errorf("first table: %w", err)
	}
	at := entry & offsetMask
	if at&uint64(m.cluster-1) != 0 {
		return 0, fmt.Errorf("first table: a table lies at %d, within a cluster of the file", at)
	}
	return at, nil
}

// entry returns the entry of a cluster of the disk in the second table, and
// whether there is a table.
func (m *Image) entry(index int64) (entry uint64, table bool, err error) {
	at, err := m.secondTable(index)
	if err != nil || at == 0 {
		return 0, false, err
	}
	if entry, err = m.pages.BE64(at + uint64(index%(m.cluster/8))*8); err != nil {
		return 0, false, fmt.Errorf("second table: %w", err)
	}
	return entry, true, nil
}

// Find tells whether a cluster holds data; see blocks.Table.
func (m *Image) Find(index int64) (data bool, run int64, err error) {
	entry, table, err := m.entry(index)
	if !table {
		perTable := m.cluster / 8
		return false, perTable - index%perTable, err
	}
	if entry&flagCompressed != 0 {
		return true, 1, nil
	}
	return entry&offsetMask != 0 && (m.version == 2 || entry&flagZero == 0), 1, nil
}

// Read reads a part of one cluster of the disk; see blocks.Table.
func (m *Image) Read(p []byte, index, in int64) error {
	entry, _, err := m.entry(index)
	if err != nil {
		return err
	}
	if entry&flagCompressed == 0 {
		// The file may end within its last cluster.
		at := entry&offsetMask + uint64(in)
		n, err := m.r.ReadAt(p, int64(at))
		clear(p[n:])
		if n == 0 && err != nil {
			return fmt.Errorf("offset %d: %w", at, errors.Join(err, io.ErrUnexpectedEOF))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}
	data, ok := m.clusters.Get(entry)
	if !ok {
		if data, err = m.decompress(entry); err != nil {
			return err
		}
		m.clusters.Put(entry, data)
	}
	copy(p, data[in:])
	return nil
}

// decompress reads a compressed cluster.
func (m *Image) decompress(entry uint64) ([]byte, error) {
	if err := m.budget.Read(m.cluster); err != nil {
		return nil, err
	}
	shift := 62 - (m.bits - 8)
	at := entry & (1<<shift - 1)
	sectors := entry &^ (3 << 62) >> shift
	length := (sectors+1)*512 - at%512
	blob := make([]byte, length)
	n, err := m.r.ReadAt(blob, int64(at))
	if n == 0 {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	blob = blob[:n]
	out := make([]byte, m.cluster)
	if m.zstd {
		// What follows the frame belongs to another cluster.
		if err := m.decoder.Reset(bytes.NewReader(blob)); err != nil {
			return nil, err
		}
		_, err = io.ReadFull(m.decoder, out)
	} else {
		_, err = io.ReadFull(flate.NewReader(bytes.NewReader(blob)), out)
	}
	if err != nil {
		return nil, fmt.Errorf("compressed data at %d: %w", at, err)
	}
	return out, nil
}

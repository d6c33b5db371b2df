package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Image reads the disk in a qcow2 file, of version 2 or 3. It is safe for
// several goroutines. The file is not trusted.
type Image struct {
	r        io.ReaderAt
	bits     int
	cluster  int64
	size     int64
	zstd     bool
	version  int
	l1       []uint64
	decoder  *zstd.Decoder
	mu       sync.Mutex
	tables   recent // by offset in the file
	clusters recent // decompressed, by their entries
}

// Limits of what is taken for an image.
const (
	maxL1      = 4 << 20 // entries: those of QEMU
	offsetMask = 1<<56 - 1<<9
	flagZero   = 1
)

// Features of the header that a reader must know.
const (
	incompatDirty = 1 << 0
	incompatKnown = incompatDirty | incompatCompression
)

// ErrNotQcow2 says that a file does not start as a qcow2 image does.
var ErrNotQcow2 = errors.New("not a qcow2 image")

// Open reads the header and the first table of an image. An image that is only
// a part of the disk, such as one with a backing file, is an error.
func Open(r io.ReaderAt) (*Image, error) {
	h := make([]byte, longHeader)
	if n, err := r.ReadAt(h, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if n < 72 || binary.BigEndian.Uint32(h) != magic {
		return nil, ErrNotQcow2
	}
	m := &Image{r: r}
	if err := m.header(h); err != nil {
		return nil, fmt.Errorf("qcow2 header: %w", err)
	}
	// Tables have up to 2 MiB, as clusters have.
	most := max(2, int(16<<20/m.cluster))
	m.tables, m.clusters = newRecent(min(most, 64)), newRecent(min(most, 64))
	if m.zstd {
		var err error
		m.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(16<<20))
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// header reads what the header says, and the first table.
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
		features := be.Uint64(h[72:])
		if unknown := features &^ incompatKnown; unknown != 0 {
			return fmt.Errorf("features %#x are not supported (external data file, extended tables, or newer than this program)", unknown)
		}
		if features&incompatCompression != 0 {
			if be.Uint32(h[100:]) < longHeader || h[104] != compressionZstd {
				return fmt.Errorf("the compression type %d is not known", h[104])
			}
			m.zstd = true
		}
	}
	m.bits, m.cluster, m.size = int(clusterBits), 1<<clusterBits, int64(size)
	perTable := m.cluster * (m.cluster / 8)
	want := (m.size + perTable - 1) / perTable
	have := int64(be.Uint32(h[36:]))
	if want > have || want > maxL1 {
		return fmt.Errorf("the table has %d entries for a disk that takes %d", have, want)
	}
	raw := make([]byte, want*8)
	if err := readFull(m.r, raw, be.Uint64(h[40:])); err != nil {
		return fmt.Errorf("first table: %w", err)
	}
	m.l1 = make([]uint64, want)
	for i := range m.l1 {
		m.l1[i] = be.Uint64(raw[i*8:])
	}
	return nil
}

// readFull fills b from an offset that a file has given.
func readFull(r io.ReaderAt, b []byte, at uint64) error {
	if at > 1<<62 {
		return fmt.Errorf("offset %d: %w", at, io.ErrUnexpectedEOF)
	}
	n, err := r.ReadAt(b, int64(at))
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("offset %d: %w", at, err)
}

// Size is the size of the disk in bytes.
func (m *Image) Size() int64 { return m.size }

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

// ReadAt reads from the disk.
func (m *Image) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(p) {
		if off >= m.size {
			return n, io.EOF
		}
		in := off & (m.cluster - 1)
		k := int(min(int64(len(p)-n), m.cluster-in, m.size-off))
		if err := m.readCluster(p[n:n+k], off>>m.bits, in); err != nil {
			return n, fmt.Errorf("qcow2 cluster %d: %w", off>>m.bits, err)
		}
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// readCluster reads a part of one cluster of the disk.
func (m *Image) readCluster(p []byte, index, in int64) error {
	entry, err := m.entry(index)
	if err != nil {
		return err
	}
	switch {
	case m.isZero(entry):
		clear(p)
		return nil
	case entry&flagCompressed == 0:
		// The file may end within its last cluster.
		at := entry&offsetMask + uint64(in)
		n, err := m.r.ReadAt(p, int64(at))
		clear(p[n:])
		if n == 0 && err != nil {
			return fmt.Errorf("offset %d: %w", at, io.ErrUnexpectedEOF)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data := m.clusters.get(entry)
	if data == nil {
		if data, err = m.decompress(entry); err != nil {
			return err
		}
		m.clusters.put(entry, data)
	}
	copy(p, data[in:])
	return nil
}

// isZero tells whether a cluster reads as zeros without being looked at.
func (m *Image) isZero(entry uint64) bool {
	if entry&flagCompressed != 0 {
		return false
	}
	return entry&offsetMask == 0 || m.version == 3 && entry&flagZero != 0
}

// entry returns the entry of a cluster of the disk in the second table.
func (m *Image) entry(index int64) (uint64, error) {
	perTable := m.cluster / 8
	at := m.l1[index/perTable] & offsetMask
	if at == 0 {
		return 0, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	table := m.tables.get(at)
	if table == nil {
		table = make([]byte, m.cluster)
		if err := readFull(m.r, table, at); err != nil {
			return 0, fmt.Errorf("second table: %w", err)
		}
		m.tables.put(at, table)
	}
	return binary.BigEndian.Uint64(table[index%perTable*8:]), nil
}

// decompress reads a compressed cluster.
func (m *Image) decompress(entry uint64) ([]byte, error) {
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

// Next finds what is allocated; see sparse.Source.
func (m *Image) Next(off int64) (start, end int64, err error) {
	perTable := m.cluster / 8
	index, last := off>>m.bits, (m.size+m.cluster-1)>>m.bits
	for index < last {
		if m.l1[index/perTable]&offsetMask == 0 {
			index = (index/perTable + 1) * perTable
			continue
		}
		entry, err := m.entry(index)
		if err != nil {
			return 0, 0, err
		}
		if !m.isZero(entry) {
			break
		}
		index++
	}
	if index >= last {
		return 0, 0, io.EOF
	}
	start = max(off, index<<m.bits)
	for index < last {
		entry, err := m.entry(index)
		if err != nil {
			return 0, 0, err
		}
		if m.isZero(entry) {
			break
		}
		index++
	}
	return start, min(index<<m.bits, m.size), nil
}

// recent keeps the last few blocks that were used.
type recent struct {
	most   int
	blocks map[uint64][]byte
	order  []uint64 // the oldest first
}

func newRecent(most int) recent { return recent{most: most, blocks: map[uint64][]byte{}} }

func (r *recent) get(key uint64) []byte { return r.blocks[key] }

func (r *recent) put(key uint64, block []byte) {
	if len(r.order) >= r.most {
		delete(r.blocks, r.order[0])
		r.order = r.order[1:]
	}
	r.blocks[key] = block
	r.order = append(r.order, key)
}

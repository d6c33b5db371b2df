package qcow2

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// image reads what Write wrote, by the text of the specification, and is
// strict: whatever a reader could stumble over is an error.
type image struct {
	data        []byte
	cluster     int64
	size        int64
	zstd        bool
	refs        []int // as counted by following all references
	l1, l1Size  int64
	table, tabN int64
}

func parse(data []byte) (*image, error) {
	be := binary.BigEndian
	if len(data) < 512 || be.Uint32(data) != 0x514649fb {
		return nil, fmt.Errorf("no header")
	}
	img := &image{
		data: data, cluster: 1 << be.Uint32(data[20:]), size: int64(be.Uint64(data[24:])),
		l1Size: int64(be.Uint32(data[36:])), l1: int64(be.Uint64(data[40:])),
		table: int64(be.Uint64(data[48:])), tabN: int64(be.Uint32(data[56:])),
	}
	switch be.Uint32(data[4:]) {
	case 2:
	case 3:
		img.zstd = be.Uint64(data[72:]) == 8 && data[104] == 1
	default:
		return nil, fmt.Errorf("another version")
	}
	if v3 := be.Uint32(data[4:]) == 3; v3 && (be.Uint64(data[72:])&^8 != 0 || be.Uint64(data[80:]) != 0 || be.Uint64(data[88:]) != 0 || be.Uint32(data[96:]) != 4) {
		return nil, fmt.Errorf("unexpected features")
	}
	if int64(len(data))%img.cluster != 0 {
		return nil, fmt.Errorf("a file of %d bytes is not a number of clusters", len(data))
	}
	img.refs = make([]int, int64(len(data))/img.cluster)
	return img, nil
}

func (m *image) u64(at int64) uint64 { return binary.BigEndian.Uint64(m.data[at:]) }

func (m *image) ref(at, n int64) {
	for c := at / m.cluster; c <= (at+n-1)/m.cluster; c++ {
		m.refs[c]++
	}
}

// content returns the disk and checks the reference counts.
func (m *image) content() ([]byte, error) {
	m.ref(0, m.cluster)
	m.ref(m.l1, m.l1Size*8)
	perTable := m.cluster / 8
	out := make([]byte, m.size+m.cluster)
	for i := range m.l1Size {
		l1 := m.u64(m.l1 + i*8)
		if l1 == 0 {
			continue
		}
		at := int64(l1 &^ flagCopied)
		m.ref(at, m.cluster)
		for j := range perTable {
			entry := m.u64(at + j*8)
			if entry == 0 {
				continue
			}
			guest := (i*perTable + j) * m.cluster
			if guest >= m.size {
				return nil, fmt.Errorf("a cluster at %d, behind the end", guest)
			}
			if err := m.read(entry, out[guest:guest+m.cluster]); err != nil {
				return nil, fmt.Errorf("cluster at %d: %w", guest, err)
			}
		}
	}
	return out[:m.size], m.checkRefs()
}

func (m *image) read(entry uint64, to []byte) error {
	if entry&flagCompressed == 0 {
		at := int64(entry &^ flagCopied)
		if entry&flagCopied == 0 || at%m.cluster != 0 {
			return fmt.Errorf("entry %x", entry)
		}
		m.ref(at, m.cluster)
		copy(to, m.data[at:at+m.cluster])
		return nil
	}
	shift := 62 - (bits.TrailingZeros64(uint64(m.cluster)) - 8)
	at := int64(entry & (1<<shift - 1))
	sectors := int64(entry &^ (3 << 62) >> shift)
	if entry&flagCopied != 0 {
		return fmt.Errorf("compressed and copied")
	}
	end := (at/512 + sectors + 1) * 512
	m.ref(at, end-at)
	blob := m.data[at:end]
	if m.zstd {
		dec, err := zstd.NewReader(bytes.NewReader(blob), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer dec.Close()
		_, err = io.ReadFull(dec, to)
		return err
	}
	_, err := io.ReadFull(flate.NewReader(bytes.NewReader(blob)), to)
	return err
}

// checkRefs compares the stored reference counts with the counted ones.
func (m *image) checkRefs() error {
	m.ref(m.table, m.tabN*m.cluster)
	perBlock := m.cluster / 2
	var blocks []int64
	for i := range m.tabN * m.cluster / 8 {
		if at := int64(m.u64(m.table + i*8)); at != 0 {
			m.ref(at, m.cluster)
			blocks = append(blocks, at)
		}
	}
	for c, want := range m.refs {
		got := 0
		if b := int64(c) / perBlock; b < int64(len(blocks)) {
			got = int(binary.BigEndian.Uint16(m.data[blocks[b]+int64(c)%perBlock*2:]))
		}
		if got != want {
			return fmt.Errorf("cluster %d of the file has %d references and says %d", c, want, got)
		}
	}
	return nil
}

package vmdk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zlib"

	"github.com/osbuildkit/osbuildkit/disk/internal/blocks"
	"github.com/osbuildkit/osbuildkit/disk/limit"
)

// Image reads the disk in a VMDK file that is the whole of it: one sparse
// extent, growing or made to be streamed. It is safe for several goroutines. The
// file is not trusted, and no other file is ever opened.
type Image struct {
	*blocks.Disk
	r         io.ReaderAt
	budget    *limit.Budget
	pages     *blocks.Pages
	form      Form
	grain     int64
	directory uint64
	zeros     bool // an entry of 1 is a grain of zeros
	packed    bool
	grains    *blocks.Recent[[]byte] // decompressed, by their numbers
}

// Limits of what is taken for an image. VMware makes grains of 64 KiB.
const (
	minGrain, maxGrain = 4 << 10, 2 << 20
	maxTables          = 1 << 20
	// maxDescription is the longest description in bytes: VMware leaves 10 KiB
	// for it.
	maxDescription = 64 << 10
	flagZeroGrain  = 1 << 2
	zeroGrain      = 1
	// maxGrains bounds the grains that are kept decompressed, in bytes.
	maxGrains = 16 << 20
)

// ErrParts says that an image is a description of other files, or one of several
// files, which are never opened.
var ErrParts = errors.New("the vmdk image is one of several files, which are not opened: make one of them, with qemu-img convert -O qcow2 or vmware-vdiskmanager -r FILE -t 0")

// Open reads header and description of an image of fileSize bytes, and looks
// through its tables of grains. Descriptions of other files, and images with a
// parent, are errors, and so is an image that uses a grain twice.
func Open(r io.ReaderAt, fileSize int64, b *limit.Budget) (*Image, error) {
	h := make([]byte, sector)
	n, err := r.ReadAt(h, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if h = h[:n]; bytes.HasPrefix(h, []byte("# Disk DescriptorFile")) {
		return nil, ErrParts
	}
	if n < sector || string(h[:4]) != "KDMV" {
		return nil, fmt.Errorf("vmdk header: %w", io.ErrUnexpectedEOF)
	}
	m := &Image{r: r, budget: b, pages: blocks.NewPages(r)}
	at, size := le.Uint64(h[28:]), le.Uint64(h[36:])
	if le.Uint64(h[56:]) == directoryAtEnd {
		if h, err = readFooter(r, fileSize); err != nil {
			return nil, fmt.Errorf("vmdk footer: %w", err)
		}
	}
	capacity, err := m.header(h)
	if err != nil {
		return nil, fmt.Errorf("vmdk header: %w", err)
	}
	if err := m.description(at, size, capacity); err != nil {
		return nil, err
	}
	m.grains = blocks.NewRecent[[]byte](int(max(2, maxGrains/m.grain)))
	m.Disk = blocks.New(capacity, m.grain, m)
	if err := m.check((capacity + m.grain - 1) / m.grain); err != nil {
		return nil, fmt.Errorf("vmdk tables: %w", err)
	}
	return m, nil
}

// readFooter returns the header at the end of a stream, which lies between two
// markers.
func readFooter(r io.ReaderAt, fileSize int64) ([]byte, error) {
	b := make([]byte, 3*sector)
	if err := blocks.ReadFull(r, b, uint64(max(0, fileSize-3*sector))); err != nil {
		return nil, err
	}
	h := b[sector : 2*sector]
	if le.Uint32(b[12:]) != markerFooter || string(h[:4]) != "KDMV" || le.Uint64(h[56:]) == directoryAtEnd {
		return nil, errors.New("there is none at the end of the file: it is cut off")
	}
	return h, nil
}

// header reads what a header says, and returns the size of the disk.
func (m *Image) header(h []byte) (int64, error) {
	version, flags := le.Uint32(h[4:]), le.Uint32(h[8:])
	capacity, grain := le.Uint64(h[12:]), le.Uint64(h[20:])
	switch {
	case version < 1 || version > 3:
		return 0, fmt.Errorf("version %d is not supported", version)
	case flags&flagNewlines != 0 && string(h[73:77]) != "\n \r\n":
		return 0, errors.New("the file was changed by a transfer as text")
	case grain < minGrain/sector || grain > maxGrain/sector || grain&(grain-1) != 0:
		return 0, fmt.Errorf("grains of %d sectors are not possible", grain)
	case le.Uint32(h[44:]) != grainsPerTable:
		return 0, fmt.Errorf("tables of %d grains are not supported", le.Uint32(h[44:]))
	case capacity > maxTables*grainsPerTable*grain:
		return 0, fmt.Errorf("a disk of %d sectors is not possible", capacity)
	}
	m.grain, m.zeros, m.form = int64(grain)*sector, flags&flagZeroGrain != 0, MonolithicSparse
	if m.directory = le.Uint64(h[56:]); m.directory == 0 || m.directory > 1<<50 {
		return 0, fmt.Errorf("a directory at sector %d is not possible", m.directory)
	}
	m.directory *= sector
	if flags&flagCompressed != 0 {
		m.packed, m.form = true, StreamOptimized
		if flags&flagMarkers == 0 || le.Uint16(h[77:]) != compressionZlib {
			return 0, fmt.Errorf("the compression %d, with flags %#x, is not supported", le.Uint16(h[77:]), flags)
		}
	}
	return int64(capacity) * sector, nil
}

// description looks at the text in the image. What it says about files is not
// followed: it must speak of one file, which is this one, and of no parent.
func (m *Image) description(at, size uint64, capacity int64) error {
	if at == 0 || size == 0 {
		return ErrParts
	}
	if at > 1<<50 || size > maxDescription/sector {
		return fmt.Errorf("vmdk header: a description of %d sectors at %d is not possible", size, at)
	}
	text := make([]byte, size*sector)
	if err := blocks.ReadFull(m.r, text, at*sector); err != nil {
		return fmt.Errorf("vmdk description: %w", err)
	}
	text, _, _ = bytes.Cut(text, []byte{0})
	extents, form, parent := 0, "", ""
	for line := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '\n' || r == '\r' }) {
		key, value, isPair := strings.Cut(line, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.Trim(strings.TrimSpace(value), `"`)
		switch {
		case isPair && key == "parentcid":
			parent = strings.ToLower(value)
		case isPair && key == "parentfilenamehint":
			parent = "a file"
		case isPair && key == "createtype":
			form = value
		}
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "RW" && f[0] != "RDONLY" && f[0] != "NOACCESS" {
			continue
		}
		if sectors, err := strconv.ParseInt(f[1], 10, 64); err != nil || f[2] != "SPARSE" || sectors*sector != capacity {
			return ErrParts
		}
		extents++
	}
	switch {
	case parent != "ffffffff":
		return errors.New("the vmdk image has a parent, or does not say that it has none: it is a part of a disk only; make it whole with qemu-img convert")
	case form != string(MonolithicSparse) && form != string(StreamOptimized):
		return fmt.Errorf("the vmdk image has the form %q: only monolithicSparse and streamOptimized are read", form)
	case extents != 1:
		return ErrParts
	}
	return nil
}

// check looks through the tables.
func (m *Image) check(count int64) error {
	claims := blocks.NewClaims()
	tables := blocks.NewClaims()
	for i := int64(0); i < count; {
		data, run, err := m.Find(i)
		if err != nil {
			return err
		}
		if i%grainsPerTable == 0 && run == 1 {
			table, err := m.table(i)
			if err == nil {
				// Tables of 2 KiB that do not overlap have other numbers.
				err = tables.Add(table / tableSize)
			}
			if err != nil {
				return err
			}
		}
		if data && !m.packed { // a packed grain says whose it is
			entry, err := m.entry(i)
			if err == nil {
				err = claims.Add(uint64(entry) * sector / uint64(m.grain))
			}
			if err != nil {
				return err
			}
		}
		i += run
	}
	return nil
}

// Form is how the disk was put into the file.
func (m *Image) Form() Form { return m.form }

// table returns the offset of the table with the entry of a grain, 0 if there is
// none.
func (m *Image) table(index int64) (uint64, error) {
	at, err := m.pages.LE32(m.directory + uint64(index/grainsPerTable)*4)
	if err != nil {
		return 0, fmt.Errorf("directory: %w", err)
	}
	return uint64(at) * sector, nil
}

// entry returns the entry of a grain whose table is there.
func (m *Image) entry(index int64) (uint32, error) {
	table, err := m.table(index)
	if err != nil {
		return 0, err
	}
	entry, err := m.pages.LE32(table + uint64(index%grainsPerTable)*4)
	if err != nil {
		return 0, fmt.Errorf("table of grains: %w", err)
	}
	return entry, nil
}

// Find tells whether a grain holds data; see blocks.Table.
func (m *Image) Find(index int64) (data bool, run int64, err error) {
	table, err := m.table(index)
	if err != nil || table == 0 {
		return false, grainsPerTable - index%grainsPerTable, err
	}
	entry, err := m.entry(index)
	return entry != 0 && (entry != zeroGrain || !m.zeros), 1, err
}

// Read reads a part of a grain; see blocks.Table.
func (m *Image) Read(p []byte, index, in int64) error {
	entry, err := m.entry(index)
	if err != nil {
		return err
	}
	at := uint64(entry) * sector
	if !m.packed {
		return blocks.ReadFull(m.r, p, at+uint64(in))
	}
	data, ok := m.grains.Get(uint64(index))
	if !ok {
		if data, err = m.unpack(index, at); err != nil {
			return fmt.Errorf("grain at %d: %w", at, err)
		}
		m.grains.Put(uint64(index), data)
	}
	copy(p, data[in:])
	return nil
}

// unpack reads a grain of a stream, which says to which part of the disk it
// belongs.
func (m *Image) unpack(index int64, at uint64) ([]byte, error) {
	if err := m.budget.Read(m.grain); err != nil {
		return nil, err
	}
	var h [grainHeaderLength]byte
	if err := blocks.ReadFull(m.r, h[:], at); err != nil {
		return nil, err
	}
	place, length := le.Uint64(h[:]), int64(le.Uint32(h[8:]))
	if place != uint64(index*(m.grain/sector)) || length > 2*m.grain {
		return nil, fmt.Errorf("%w, or it is damaged: the grain belongs to sector %d and has %d bytes", blocks.ErrShared, place, length)
	}
	packed := make([]byte, length)
	if err := blocks.ReadFull(m.r, packed, at+grainHeaderLength); err != nil {
		return nil, err
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	out := make([]byte, m.grain)
	n, err := io.ReadFull(z, out)
	// The last grain of a disk may be shorter than the others.
	if want := min(m.grain, m.Size()-index*m.grain); errors.Is(err, io.ErrUnexpectedEOF) && int64(n) >= want {
		err = nil
	}
	return out, err
}

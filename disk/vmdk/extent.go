package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"

	"github.com/klauspost/compress/zlib"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Sizes of sparse extents. A grain is the unit of allocation.
const (
	sector            = disk.SectorSize
	grainSize         = 64 << 10
	grainsPerTable    = 512
	tableSize         = grainsPerTable * 4
	descriptionAt     = sector
	descriptionSize   = 20 * sector
	flagNewlines      = 1 << 0
	flagSecondTables  = 1 << 1
	flagCompressed    = 1 << 16
	flagMarkers       = 1 << 17
	directoryAtEnd    = 1<<64 - 1
	markerEnd         = 0
	markerTable       = 1
	markerDirectory   = 2
	markerFooter      = 3
	compressionZlib   = 1
	streamHeaderSize  = 128 * sector
	streamVersion     = 3
	sparseVersion     = 1
	grainHeaderLength = 12
)

var le = binary.LittleEndian

// header is the first sector of a sparse extent, and the footer of a stream.
type header struct {
	version, flags                       uint32
	size                                 int64
	described                            bool
	secondDirectory, directory, overhead uint64 // in sectors
	compression                          uint16
}

func (h *header) encode() []byte {
	b := make([]byte, sector)
	copy(b, "KDMV")
	le.PutUint32(b[4:], h.version)
	le.PutUint32(b[8:], h.flags)
	le.PutUint64(b[12:], uint64(h.size/sector))
	le.PutUint64(b[20:], grainSize/sector)
	if h.described {
		le.PutUint64(b[28:], descriptionAt/sector)
		le.PutUint64(b[36:], descriptionSize/sector)
	}
	le.PutUint32(b[44:], grainsPerTable)
	le.PutUint64(b[48:], h.secondDirectory)
	le.PutUint64(b[56:], h.directory)
	le.PutUint64(b[64:], h.overhead)
	// Transfers that change line ends change these.
	copy(b[73:], "\n \r\n")
	le.PutUint16(b[77:], h.compression)
	return b
}

// tables is the directory and the tables of grains of an extent.
type tables struct {
	grains    int64
	count     int64 // of tables
	directory int64 // its size in bytes, whole sectors
}

func newTables(size int64) tables {
	t := tables{grains: (size + grainSize - 1) / grainSize}
	t.count = (t.grains + grainsPerTable - 1) / grainsPerTable
	t.directory = roundUp(t.count*4, sector)
	return t
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// writeSparse writes an extent that can grow: header, description, two copies
// of directory and tables, and grains.
func writeSparse(ctx context.Context, f *os.File, src sparse.Source, size int64, text string) error {
	if len(text) > descriptionSize {
		return fmt.Errorf("the description has %d bytes and may have %d", len(text), descriptionSize)
	}
	t := newTables(size)
	copySize := t.directory + t.count*tableSize
	first := int64(descriptionAt)
	if text != "" {
		first += descriptionSize
	}
	second := first + copySize
	data := roundUp(second+copySize, grainSize)
	grains := make([]byte, t.count*tableSize)
	at := data
	err := sparse.Blocks(ctx, src, size, sparse.Work{Block: grainSize}, func(index int64, raw, _ []byte) error {
		le.PutUint32(grains[index*4:], uint32(at/sector))
		_, err := f.WriteAt(raw, at)
		at += grainSize
		return err
	})
	if err != nil {
		return err
	}
	for _, start := range []int64{first, second} {
		directory := make([]byte, t.directory)
		for i := range t.count {
			le.PutUint32(directory[i*4:], uint32((start+t.directory+i*tableSize)/sector))
		}
		if _, err := f.WriteAt(append(directory, grains...), start); err != nil {
			return err
		}
	}
	h := header{
		version: sparseVersion, flags: flagNewlines | flagSecondTables, size: size, described: text != "",
		secondDirectory: uint64(first / sector), directory: uint64(second / sector), overhead: uint64(data / sector),
	}
	if _, err := f.WriteAt(append(h.encode(), text...), 0); err != nil {
		return err
	}
	// Without data the file ends where data would start.
	return f.Truncate(at)
}

// stream writes an extent that is read from start to end: compressed grains,
// each table behind the last of its grains, the directory and a footer.
type stream struct {
	f         *os.File
	at        int64
	table     []byte
	index     int64 // of the table that is being filled
	used      bool
	directory []byte
}

// writeStream writes an extent that is meant to be streamed.
func writeStream(ctx context.Context, f *os.File, src sparse.Source, size int64, text string) error {
	if len(text) > descriptionSize {
		return fmt.Errorf("the description has %d bytes and may have %d", len(text), descriptionSize)
	}
	t := newTables(size)
	s := &stream{f: f, at: streamHeaderSize, table: make([]byte, tableSize), directory: make([]byte, t.directory)}
	h := header{
		version: streamVersion, flags: flagNewlines | flagCompressed | flagMarkers, size: size, described: true,
		directory: directoryAtEnd, overhead: streamHeaderSize / sector, compression: compressionZlib,
	}
	err := sparse.Blocks(ctx, src, size, sparse.Work{Block: grainSize, New: newDeflater}, s.grain)
	if err == nil {
		err = s.flush()
	}
	if err != nil {
		return err
	}
	if err := s.marker(markerDirectory, s.directory); err != nil {
		return err
	}
	footer := h
	footer.directory = uint64(s.at-t.directory) / sector
	if err := s.marker(markerFooter, footer.encode()); err != nil {
		return err
	}
	if err := s.marker(markerEnd, nil); err != nil {
		return err
	}
	_, err = f.WriteAt(append(h.encode(), text...), 0)
	return err
}

// grain writes one grain behind its place on the disk and its length.
func (s *stream) grain(index int64, _, out []byte) error {
	if table := index / grainsPerTable; table != s.index {
		if err := s.flush(); err != nil {
			return err
		}
		s.index = table
	}
	le.PutUint32(s.table[index%grainsPerTable*4:], uint32(s.at/sector))
	s.used = true
	b := make([]byte, roundUp(int64(grainHeaderLength+len(out)), sector))
	le.PutUint64(b, uint64(index*(grainSize/sector)))
	le.PutUint32(b[8:], uint32(len(out)))
	copy(b[grainHeaderLength:], out)
	return s.write(b)
}

// flush writes the table that was filled.
func (s *stream) flush() error {
	if !s.used {
		return nil
	}
	if err := s.marker(markerTable, s.table); err != nil {
		return err
	}
	le.PutUint32(s.directory[s.index*4:], uint32((s.at-tableSize)/sector))
	clear(s.table)
	s.used = false
	return nil
}

// marker writes what is not a grain, with a sector before it that says so.
func (s *stream) marker(kind uint32, data []byte) error {
	b := make([]byte, sector)
	le.PutUint64(b, uint64(len(data)/sector))
	le.PutUint32(b[12:], kind)
	return s.write(append(b, data...))
}

func (s *stream) write(b []byte) error {
	_, err := s.f.WriteAt(b, s.at)
	s.at += int64(len(b))
	return err
}

// newDeflater compresses grains. Every grain is compressed, also where it gets
// larger: the form has no other.
func newDeflater() (sparse.Transform, error) {
	var buf bytes.Buffer
	w, err := zlib.NewWriterLevel(&buf, zlib.DefaultCompression)
	if err != nil {
		return nil, err
	}
	return func(block []byte) ([]byte, error) {
		buf.Reset()
		w.Reset(&buf)
		if _, err := w.Write(block); err != nil {
			return nil, err
		}
		err := w.Close()
		return buf.Bytes(), err
	}, nil
}

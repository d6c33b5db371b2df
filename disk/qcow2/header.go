package qcow2

import "encoding/binary"

// header holds what the header of an image says.
type header struct {
	clusterBits int
	size        int64 // of the disk, in bytes
	l1          int64 // offset of the first level table
	l1Size      int   // its number of entries
	refTable    int64 // offset of the table of reference counts
	refClusters int64 // its number of clusters
	zstd        bool
	version     int
}

const (
	magic               = 0x514649fb // "QFI" and 0xfb
	refcountOrder       = 4          // 16 bits
	incompatCompression = 1 << 3
	shortHeader         = 104
	longHeader          = 112 // with the compression type
	compressionZstd     = 1
	extFeatureNames     = 0x6803f857
)

// encode writes the header to the start of the first cluster.
func (h *header) encode(b []byte) {
	be := binary.BigEndian
	be.PutUint32(b[0:], magic)
	be.PutUint32(b[4:], uint32(h.version))
	be.PutUint32(b[20:], uint32(h.clusterBits))
	be.PutUint64(b[24:], uint64(h.size))
	be.PutUint32(b[36:], uint32(h.l1Size))
	be.PutUint64(b[40:], uint64(h.l1))
	be.PutUint64(b[48:], uint64(h.refTable))
	be.PutUint32(b[56:], uint32(h.refClusters))
	if h.version < 3 {
		// What follows are extensions of the header, and zero ends them.
		return
	}
	be.PutUint32(b[96:], refcountOrder)
	be.PutUint32(b[100:], shortHeader)
	if !h.zstd {
		return
	}
	be.PutUint64(b[72:], incompatCompression)
	be.PutUint32(b[100:], longHeader)
	b[104] = compressionZstd
	// A reader that is too old refuses the image with this name.
	ext := b[longHeader:]
	be.PutUint32(ext[0:], extFeatureNames)
	be.PutUint32(ext[4:], 48)
	ext[8], ext[9] = 0, 3 // incompatible feature, bit 3
	copy(ext[10:56], "compression type")
}

func putBE64(b []byte, v uint64) { binary.BigEndian.PutUint64(b, v) }

package verity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// BlockSize is the size in bytes of blocks of data and of digests.
const BlockSize = 4096

const (
	perBlock = BlockSize / sha256.Size
	// chunk is the data whose digests fill a block.
	chunk    = perBlock * BlockSize
	saltSize = 32
)

// RootHash is the digest that stands for all of the data.
type RootHash [sha256.Size]byte

// String returns the hexadecimal form, as the kernel's command line has it.
func (h RootHash) String() string { return hex.EncodeToString(h[:]) }

// PartitionUUIDs returns the identifiers that the Discoverable Partitions
// Specification gives the partitions with the data and with the hash tree: the
// first and the last 128 bits of the root hash.
func (h RootHash) PartitionUUIDs() (data, tree disk.UUID) {
	return disk.UUID(h[:16]), disk.UUID(h[16:])
}

// Options say what is written.
type Options struct {
	// ID is what the identifier and the salt are derived from: that of the file
	// system.
	ID disk.UUID
	// Workers is the number of goroutines that compute; 0 means one per
	// processor.
	Workers int
}

// UUID is the identifier of the hash tree.
func (o *Options) UUID() disk.UUID { return o.ID.Derive("verity") }

func (o *Options) salt() []byte {
	a, b := o.ID.Derive("verity salt 1"), o.ID.Derive("verity salt 2")
	return append(a[:], b[:]...)
}

// levels returns how many blocks each level has, from the lowest up. Data of
// one block has none.
func levels(blocks int64) []int64 {
	var out []int64
	for blocks > 1 {
		blocks = (blocks + perBlock - 1) / perBlock
		out = append(out, blocks)
	}
	return out
}

// Size returns the bytes that the superblock and the tree of data of the given
// number of bytes take.
func Size(data int64) int64 {
	n := int64(1)
	for _, l := range levels(data / BlockSize) {
		n += l
	}
	return n * BlockSize
}

// tree is the work on one hash tree.
type tree struct {
	to     io.WriterAt
	salt   []byte
	blocks int64
	starts []int64 // of each level, in blocks
	counts []int64
	// zero is the digest of a block of zeros, and zeroLeaf a block of them.
	zero     []byte
	zeroLeaf []byte
	// sums are the digests of the lowest level's blocks.
	sums []byte
}

// Write computes the hash tree of the first size bytes of src, a multiple of
// BlockSize, and writes it with its superblock to the start of dst.
func Write(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64, o Options) (RootHash, error) {
	if size <= 0 || size%BlockSize != 0 {
		return RootHash{}, fmt.Errorf("data of %d bytes cannot have a hash tree: it must be a multiple of %d", size, BlockSize)
	}
	t := &tree{to: dst, salt: o.salt(), blocks: size / BlockSize, counts: levels(size / BlockSize)}
	t.starts = make([]int64, len(t.counts))
	next := int64(1)
	for i := len(t.counts) - 1; i >= 0; i-- {
		t.starts[i] = next
		next += t.counts[i]
	}
	t.zero = digest(sha256.New(), t.salt, make([]byte, BlockSize))
	t.zeroLeaf = bytes.Repeat(t.zero, perBlock)
	if _, err := dst.WriteAt(superblock(o.UUID(), t.salt, t.blocks), 0); err != nil {
		return RootHash{}, err
	}
	root, err := t.root(ctx, src, o.Workers)
	if err != nil {
		return RootHash{}, err
	}
	return RootHash(root), nil
}

func digest(h hash.Hash, salt, block []byte) []byte {
	h.Reset()
	h.Write(salt)
	h.Write(block)
	return h.Sum(nil)
}

// root writes all levels.
func (t *tree) root(ctx context.Context, src sparse.Source, workers int) ([]byte, error) {
	if t.blocks == 1 {
		b := make([]byte, BlockSize)
		if _, err := src.ReadAt(b, 0); err != nil {
			return nil, err
		}
		return digest(sha256.New(), t.salt, b), nil
	}
	if err := t.leaves(ctx, src, workers); err != nil {
		return nil, err
	}
	sums, h := t.sums, sha256.New()
	for level := 1; level < len(t.counts); level++ {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		blocks := make([]byte, t.counts[level]*BlockSize)
		copy(blocks, sums)
		if _, err := t.to.WriteAt(blocks, t.starts[level]*BlockSize); err != nil {
			return nil, err
		}
		sums = nil
		for ; len(blocks) > 0; blocks = blocks[BlockSize:] {
			sums = append(sums, digest(h, t.salt, blocks[:BlockSize])...)
		}
	}
	return sums, nil
}

// leaves reads the data and writes the lowest level.
func (t *tree) leaves(ctx context.Context, src sparse.Source, workers int) error {
	zeroSum := digest(sha256.New(), t.salt, t.zeroLeaf)
	t.sums = make([]byte, 0, t.counts[0]*sha256.Size)
	last, rest := t.counts[0]-1, int(t.blocks%perBlock)
	next, h := int64(0), sha256.New()
	put := func(leaf, sum []byte) error {
		if next == last && rest != 0 {
			// What is behind the data has no digest.
			leaf = append(append(make([]byte, 0, BlockSize), leaf[:rest*sha256.Size]...), make([]byte, (perBlock-rest)*sha256.Size)...)
			sum = digest(h, t.salt, leaf)
		}
		t.sums = append(t.sums, sum...)
		_, err := t.to.WriteAt(leaf, (t.starts[0]+next)*BlockSize)
		next++
		return err
	}
	zeros := func(end int64) error {
		for next < end {
			if err := put(t.zeroLeaf, zeroSum); err != nil {
				return err
			}
		}
		return nil
	}
	work := sparse.Work{Block: chunk, Workers: workers, New: func() (sparse.Transform, error) { return t.transform(), nil }}
	err := sparse.Blocks(ctx, src, t.blocks*BlockSize, work, func(index int64, _, out []byte) error {
		if err := zeros(index); err != nil {
			return err
		}
		return put(out[:BlockSize], out[BlockSize:])
	})
	if err != nil {
		return err
	}
	return zeros(last + 1)
}

// transform returns the function that makes a block of digests of a chunk of
// data, followed by its own digest.
func (t *tree) transform() sparse.Transform {
	h, empty := sha256.New(), make([]byte, BlockSize)
	out := make([]byte, 0, BlockSize+sha256.Size)
	return func(data []byte) ([]byte, error) {
		out = out[:0]
		for ; len(data) > 0; data = data[BlockSize:] {
			if bytes.Equal(data[:BlockSize], empty) {
				out = append(out, t.zero...)
				continue
			}
			h.Reset()
			h.Write(t.salt)
			h.Write(data[:BlockSize])
			out = h.Sum(out)
		}
		h.Reset()
		h.Write(t.salt)
		h.Write(out)
		return h.Sum(out), nil
	}
}

// superblock returns the first block.
func superblock(id disk.UUID, salt []byte, blocks int64) []byte {
	le := binary.LittleEndian
	b := make([]byte, BlockSize)
	copy(b, "verity\x00\x00")
	le.PutUint32(b[8:], 1)  // version of the superblock
	le.PutUint32(b[12:], 1) // kind of tree: the one of the kernel, not Chromium OS'
	copy(b[16:], id[:])
	copy(b[32:], "sha256")
	le.PutUint32(b[64:], BlockSize)
	le.PutUint32(b[68:], BlockSize)
	le.PutUint64(b[72:], uint64(blocks))
	le.PutUint16(b[80:], saltSize)
	copy(b[88:], salt)
	return b
}

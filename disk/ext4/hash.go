package ext4

import (
	"math/bits"

	"github.com/osbuildkit/osbuildkit/disk"
)

// lastHash is the largest hash that a reader of a directory can ask for, as the
// largest place in a directory stands for its end.
const lastHash = (1<<31 - 2) << 1

// hashSeed returns what the hashes of names begin with, derived from the
// identifier of the file system.
func hashSeed(uuid disk.UUID) (seed [4]uint32) {
	u := uuid.Derive("ext4 hash seed")
	for i := range seed {
		seed[i] = le.Uint32(u[4*i:])
	}
	return seed
}

// hashName returns the hash of a name by which an index is ordered: the first
// three rounds of MD4, halved, over the name in pieces of 32 bytes; see the
// chapter "Hash Tree Directories". Bytes count as signed numbers, which the
// superblock says.
func hashName(name string, seed [4]uint32) uint32 {
	const piece = 32
	state := seed
	for at := 0; at < len(name); at += piece {
		halfMD4(&state, words(name[at:]))
	}
	h := state[1] &^ 1
	return min(h, lastHash)
}

// words turns the beginning of a name into numbers. What is missing at the end
// is filled up with the length.
func words(name string) (out [8]uint32) {
	fill := uint32(len(name)) & 0xff
	fill |= fill << 8
	fill |= fill << 16
	for i := range out {
		w := fill
		for j := 4 * i; j < min(4*i+4, len(name)); j++ {
			w = w<<8 + uint32(int32(int8(name[j])))
		}
		out[i] = w
	}
	return out
}

// halfMD4 is MD4 (RFC 1320) with half of the words and so half of the steps.
func halfMD4(state *[4]uint32, in [8]uint32) {
	rounds := []struct {
		mix    func(x, y, z uint32) uint32
		add    uint32
		order  [8]int
		rotate [4]int
	}{
		{func(x, y, z uint32) uint32 { return x&y | ^x&z }, 0, [8]int{0, 1, 2, 3, 4, 5, 6, 7}, [4]int{3, 7, 11, 19}},
		{func(x, y, z uint32) uint32 { return x&y | x&z | y&z }, 0x5a827999, [8]int{1, 3, 5, 7, 0, 2, 4, 6}, [4]int{3, 5, 9, 13}},
		{func(x, y, z uint32) uint32 { return x ^ y ^ z }, 0x6ed9eba1, [8]int{3, 7, 2, 6, 1, 5, 0, 4}, [4]int{3, 9, 11, 15}},
	}
	s := *state
	for _, r := range rounds {
		for i, word := range r.order {
			a, b, c, d := (4-i%4)%4, (5-i%4)%4, (6-i%4)%4, (7-i%4)%4
			s[a] = bits.RotateLeft32(s[a]+r.mix(s[b], s[c], s[d])+in[word]+r.add, r.rotate[i%4])
		}
	}
	for i := range s {
		state[i] += s[i]
	}
}

package ostree

import (
	"encoding/binary"
	"slices"
)

// member is one member of a tuple: its bytes, the alignment of its type, and
// whether all values of the type have the same size.
type member struct {
	data  []byte
	align int
	fixed bool
}

func text(s string) member { return member{append([]byte(s), 0), 1, false} }

func bytesOf(b []byte) member { return member{b, 1, false} }

// number is a number of 32 bits; OSTree stores numbers big-endian.
func number(v uint32) member { return member{binary.BigEndian.AppendUint32(nil, v), 4, true} }

func number64(v uint64) member { return member{binary.BigEndian.AppendUint64(nil, v), 8, true} }

// tuple serialises a tuple with members of varying size: after the members
// come the ends of those that are not of fixed size, the last member's left
// out, from last to first.
func tuple(members ...member) []byte {
	var out []byte
	var ends []int
	for i, m := range members {
		out = append(pad(out, m.align), m.data...)
		if !m.fixed && i < len(members)-1 {
			ends = append(ends, len(out))
		}
	}
	slices.Reverse(ends)
	return appendOffsets(out, ends)
}

// array serialises an array whose elements vary in size: after the elements
// come their ends, from first to last.
func array(align int, elements ...[]byte) member {
	var out []byte
	var ends []int
	for _, e := range elements {
		out = append(pad(out, align), e...)
		ends = append(ends, len(out))
	}
	return member{appendOffsets(out, ends), align, false}
}

// variant serialises a value together with its type.
func variant(m member, typ string) member {
	return member{append(append(slices.Clone(m.data), 0), typ...), 8, false}
}

func pad(out []byte, align int) []byte {
	for len(out)%align != 0 {
		out = append(out, 0)
	}
	return out
}

// appendOffsets adds offsets, all of the smallest size with which the whole can
// be addressed. These are little-endian.
func appendOffsets(out []byte, offsets []int) []byte {
	size := 1
	for size < 8 && uint64(len(out)+size*len(offsets)) > uint64(1)<<(8*size)-1 {
		size *= 2
	}
	for _, o := range offsets {
		out = append(out, binary.LittleEndian.AppendUint64(nil, uint64(o))[:size]...)
	}
	return out
}

package luks

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// xts is the mode of IEEE 1619 for whole sectors of up to 4096 bytes. It works
// through a sector at a time, which takes a third of the time that
// golang.org/x/crypto/xts takes block by block; the tests compare the two.
type xts struct {
	data, tweak cipher.Block
}

// newXTS takes both keys in one.
func newXTS(key []byte) (*xts, error) {
	a, err := aes.NewCipher(key[:len(key)/2])
	if err != nil {
		return nil, err
	}
	b, err := aes.NewCipher(key[len(key)/2:])
	return &xts{a, b}, err
}

// tweaks are what the blocks of a sector are combined with.
type tweaks [block]byte

// fill computes the tweaks of a sector: the encrypted number, doubled from block
// to block in the field of 2^128 elements.
func (x *xts) fill(t *tweaks, n int, number uint64) {
	le := binary.LittleEndian
	var first [16]byte
	le.PutUint64(first[:], number)
	x.tweak.Encrypt(first[:], first[:])
	low, high := le.Uint64(first[:]), le.Uint64(first[8:])
	for i := 0; i < n; i += 16 {
		le.PutUint64(t[i:], low)
		le.PutUint64(t[i+8:], high)
		carry := high >> 63
		high = high<<1 | low>>63
		low = low<<1 ^ carry*0x87
	}
}

// encrypt encrypts a sector in place; t is memory for it.
func (x *xts) encrypt(b []byte, number uint64, t *tweaks) {
	x.fill(t, len(b), number)
	subtle.XORBytes(b, b, t[:len(b)])
	for i := 0; i+16 <= len(b); i += 16 {
		x.data.Encrypt(b[i:i+16], b[i:i+16])
	}
	subtle.XORBytes(b, b, t[:len(b)])
}

// decrypt is the reverse of encrypt.
func (x *xts) decrypt(b []byte, number uint64, t *tweaks) {
	x.fill(t, len(b), number)
	subtle.XORBytes(b, b, t[:len(b)])
	for i := 0; i+16 <= len(b); i += 16 {
		x.data.Decrypt(b[i:i+16], b[i:i+16])
	}
	subtle.XORBytes(b, b, t[:len(b)])
}

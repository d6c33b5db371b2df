package disk

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
)

// SectorSize is the number of bytes of a sector: the unit of partition tables
// and boot code.
const SectorSize = 512

// UUID is an identifier of RFC 9562, in the order of its text form.
type UUID [16]byte

// ParseUUID reads the usual text form, 32 hexadecimal digits in groups of
// 8-4-4-4-12. Nothing else is accepted, such as the words that some programs
// take in the place of an identifier.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, uuidError(s)
	}
	digits := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UUID{}, uuidError(s)
	}
	return u, nil
}

func uuidError(s string) error {
	return fmt.Errorf("%q is not a UUID: write 32 hexadecimal digits as 8-4-4-4-12, such as 6f0e0d3c-1111-4a4a-8b8b-0123456789ab", s)
}

// Namespace is the name space of the identifiers that are derived from options.
var Namespace = UUID{0x1f, 0x5c, 0x8b, 0x0e, 0x6a, 0x6d, 0x4b, 0x52, 0x9d, 0x3a, 0x2e, 0x71, 0xc4, 0x08, 0xb7, 0x66}

// String returns the text form in lower case.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Mixed returns the bytes in the mixed order of UEFI and Microsoft: the first
// three groups of digits are numbers in little endian.
func (u UUID) Mixed() []byte {
	return []byte{u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]}
}

// Derive returns the version 5 UUID of name in the name space u (RFC 9562,
// 5.5). Identifiers that a manifest does not give are derived from those that
// it gives, never random.
func (u UUID) Derive(name string) UUID {
	sum := sha1.Sum(append(u[:], name...))
	var out UUID
	copy(out[:], sum[:])
	out[6] = out[6]&0x0f | 0x50
	out[8] = out[8]&0x3f | 0x80
	return out
}

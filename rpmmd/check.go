package rpmmd

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// Checksum is the checksum of a file, by an algorithm that can be trusted.
type Checksum struct {
	// Algorithm is "sha256", "sha384" or "sha512".
	Algorithm string
	// Hex is in lower case.
	Hex string
}

// String returns ALGORITHM:HEX, as digests are written elsewhere.
func (c Checksum) String() string {
	if c.Algorithm == "" {
		return ""
	}
	return c.Algorithm + ":" + c.Hex
}

// Hash returns a new hash of the algorithm.
func (c Checksum) Hash() hash.Hash {
	switch c.Algorithm {
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return sha256.New()
}

// Matches reports whether data has the checksum.
func (c Checksum) Matches(data []byte) bool {
	if c.Algorithm == "" {
		return false
	}
	h := c.Hash()
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil)) == c.Hex
}

// sumLengths are the lengths in hex of the known kinds of checksum. Those of
// the length zero are known and refused.
var sumLengths = map[string]int{"sha256": 64, "sha384": 96, "sha512": 128, "md5": 0, "sha": 0, "sha1": 0, "sha224": 0}

// newChecksum makes a checksum of what metadata say: the kind and the hex.
func newChecksum(kind, value string) (Checksum, error) {
	kind, value = strings.ToLower(strings.TrimSpace(kind)), strings.ToLower(strings.TrimSpace(value))
	n, known := sumLengths[kind]
	switch {
	case !known:
		return Checksum{}, fmt.Errorf("%.40q is no known kind of checksum; known are sha256, sha384 and sha512", kind)
	case n == 0:
		return Checksum{}, fmt.Errorf("the checksum is of kind %q, which proves nothing any more; the repository must be made with SHA-256 (createrepo_c --checksum sha256)", kind)
	case len(value) != n || !isHex(value):
		return Checksum{}, fmt.Errorf("%.140q is no %s checksum", value, kind)
	}
	return Checksum{kind, value}, nil
}

// ParseChecksum reads ALGORITHM:HEX, the form of the option "checksum".
func ParseChecksum(s string) (Checksum, error) {
	kind, value, ok := strings.Cut(s, ":")
	if !ok {
		return Checksum{}, fmt.Errorf("%.140q is no checksum such as \"sha256:…\"", s)
	}
	return newChecksum(kind, value)
}

func isHex(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return s != ""
}

func validChars(s string, limit int, more string) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

// validName reports whether s can be the name of a package. None begins with
// a dash or a dot, so that names can be arguments and make up file names.
func validName(s string) bool {
	return validChars(s, 200, "._+-") && s[0] != '-' && s[0] != '.' && s[0] != '+'
}

func validVersion(s string) bool { return validChars(s, 100, "._+~^") }

func validArch(s string) bool { return validChars(s, 32, "_") }

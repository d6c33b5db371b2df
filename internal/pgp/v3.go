package pgp

import (
	"crypto"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// signatureV3 is a signature of version 3 (RFC 4880, 5.2.2). The library has
// dropped these, but the packages of Fedora and of Enterprise Linux were
// signed so for some fifteen years.
type signatureV3 struct {
	// hashed are the octets that are hashed after the text: kind and time.
	hashed [5]byte
	kind   byte
	issuer uint64
	made   time.Time
	hash   crypto.Hash
	tag    [2]byte
	value  []byte
}

// hashIDs are the numbers of RFC 4880, 9.4.
var hashIDs = map[byte]crypto.Hash{
	1: crypto.MD5, 2: crypto.SHA1, 3: crypto.RIPEMD160,
	8: crypto.SHA256, 9: crypto.SHA384, 10: crypto.SHA512, 11: crypto.SHA224,
}

func readV3(b []byte) (*signatureV3, error) {
	const fixed = 1 + 1 + 5 + 8 + 1 + 1 + 2
	if len(b) < fixed+2 || b[0] != 3 || b[1] != 5 {
		return nil, errors.New("the signature is damaged: too short for one of version 3")
	}
	s := &signatureV3{kind: b[2], issuer: binary.BigEndian.Uint64(b[7:])}
	copy(s.hashed[:], b[2:7])
	s.made = time.Unix(int64(binary.BigEndian.Uint32(b[3:])), 0).UTC()
	switch packet.PublicKeyAlgorithm(b[15]) {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
	default:
		return nil, fmt.Errorf("a signature of version 3 by key %016X with public key algorithm %d; known is RSA", s.issuer, b[15])
	}
	var ok bool
	if s.hash, ok = hashIDs[b[16]]; !ok {
		return nil, fmt.Errorf("a signature by key %016X with the unknown hash %d", s.issuer, b[16])
	}
	copy(s.tag[:], b[17:19])
	bits, rest := int(binary.BigEndian.Uint16(b[19:])), b[21:]
	if n := (bits + 7) / 8; n != len(rest) {
		return nil, errors.New("the signature is damaged: its number has another length than it says")
	}
	s.value = rest
	return s, nil
}

// holds reports whether a key made the signature over what is hashed.
func (s *signatureV3) holds(key *packet.PublicKey, signed hash.Hash) bool {
	pub, ok := key.PublicKey.(*rsa.PublicKey)
	if !ok {
		return false
	}
	signed.Write(s.hashed[:])
	sum := signed.Sum(nil)
	value := s.value
	if n := pub.Size() - len(value); n > 0 {
		value = append(make([]byte, n), value...)
	}
	return sum[0] == s.tag[0] && sum[1] == s.tag[1] && rsa.VerifyPKCS1v15(pub, s.hash, sum, value) == nil
}

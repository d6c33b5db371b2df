// Package testkey makes public keys for tests, as programs of other times than
// today's make them.
package testkey

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // keys of old certify themselves with it
	_ "crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Certification is a signature of a key on its own name.
type Certification struct {
	// Hash is SHA1 or SHA256.
	Hash crypto.Hash
	// Made is its time.
	Made time.Time
	// Lifetime is that of the key; zero is for ever.
	Lifetime time.Duration
}

// Public returns the packets of a public RSA key with a name and certifications
// of it. They are those that every program reads: none of their parts is marked
// as critical.
func Public(key *packet.PrivateKey, name string, certifications ...Certification) ([]byte, error) {
	private, ok := key.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is none of RSA")
	}
	var out, body bytes.Buffer
	if err := errors.Join(key.PublicKey.SerializeForHash(&body), key.PublicKey.Serialize(&out)); err != nil {
		return nil, err
	}
	body.Write(binary.BigEndian.AppendUint32([]byte{0xb4}, uint32(len(name))))
	body.WriteString(name)
	if err := write(&out, 13, []byte(name)); err != nil {
		return nil, err
	}
	for _, c := range certifications {
		sig, err := c.sign(private, key.KeyId, body.Bytes())
		if err != nil {
			return nil, err
		}
		if err := write(&out, 2, sig); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// write writes a packet.
func write(out *bytes.Buffer, tag byte, data []byte) error {
	if len(data) > 0xffff {
		return fmt.Errorf("a packet of %d bytes", len(data))
	}
	out.Write(binary.BigEndian.AppendUint16([]byte{0x80 | tag<<2 | 1}, uint16(len(data))))
	out.Write(data)
	return nil
}

func (c Certification) sign(key *rsa.PrivateKey, id uint64, what []byte) ([]byte, error) {
	hashed := binary.BigEndian.AppendUint32([]byte{5, 2}, uint32(c.Made.Unix()))
	hashed = append(hashed, 2, 27, 3) // may certify and sign
	if c.Lifetime > 0 {
		hashed = binary.BigEndian.AppendUint32(append(hashed, 5, 9), uint32(c.Lifetime/time.Second))
	}
	number, ok := map[crypto.Hash]byte{crypto.SHA1: 2, crypto.SHA256: 8}[c.Hash]
	if !ok {
		return nil, fmt.Errorf("the hash %s is not known here", c.Hash)
	}
	// Version 4, positive certification, RSA.
	sig := append([]byte{4, 0x13, 1, number}, binary.BigEndian.AppendUint16(nil, uint16(len(hashed)))...)
	sig = append(sig, hashed...)
	h := c.Hash.New()
	h.Write(what)
	h.Write(sig)
	h.Write(binary.BigEndian.AppendUint32([]byte{4, 0xff}, uint32(len(sig))))
	sum := h.Sum(nil)
	value, err := rsa.SignPKCS1v15(nil, key, c.Hash, sum)
	if err != nil {
		return nil, err
	}
	sig = binary.BigEndian.AppendUint64(append(sig, 0, 10, 9, 16), id)
	sig = append(sig, sum[:2]...)
	value = bytes.TrimLeft(value, "\x00")
	bits := len(value) * 8
	for b := value[0]; b&0x80 == 0; b <<= 1 {
		bits--
	}
	return append(binary.BigEndian.AppendUint16(sig, uint16(bits)), value...), nil
}

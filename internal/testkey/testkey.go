// Package testkey makes public keys for tests that no program makes any more.
package testkey

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // that is what is to be made
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// WithSHA1 returns the packets of a public RSA key that certifies its name with
// SHA-1 at the given time, as the keys of most distributions do that were made
// before 2023. It never expires.
func WithSHA1(key *packet.PrivateKey, name string, when time.Time) ([]byte, error) {
	private, ok := key.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is none of RSA")
	}
	var body bytes.Buffer
	if err := key.PublicKey.SerializeForHash(&body); err != nil {
		return nil, err
	}
	// Version 4, positive certification, RSA, SHA-1.
	sig := []byte{4, 0x13, 1, 2}
	hashed := binary.BigEndian.AppendUint32([]byte{5, 2}, uint32(when.Unix()))
	hashed = append(hashed, 2, 27, 3) // may certify and sign
	sig = append(binary.BigEndian.AppendUint16(sig, uint16(len(hashed))), hashed...)
	h := sha1.New() //nolint:gosec // the same
	h.Write(body.Bytes())
	h.Write(binary.BigEndian.AppendUint32([]byte{0xb4}, uint32(len(name))))
	h.Write([]byte(name))
	h.Write(sig)
	h.Write(binary.BigEndian.AppendUint32([]byte{4, 0xff}, uint32(len(sig))))
	sum := h.Sum(nil)
	value, err := rsa.SignPKCS1v15(nil, private, crypto.SHA1, sum)
	if err != nil {
		return nil, err
	}
	sig = append(sig, 0, 10, 9, 16)
	sig = binary.BigEndian.AppendUint64(sig, key.KeyId)
	sig = append(sig, sum[:2]...)
	value = bytes.TrimLeft(value, "\x00")
	bits := len(value) * 8
	for b := value[0]; b&0x80 == 0; b <<= 1 {
		bits--
	}
	sig = append(binary.BigEndian.AppendUint16(sig, uint16(bits)), value...)
	var out bytes.Buffer
	if err := key.PublicKey.Serialize(&out); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		tag  byte
		data []byte
	}{{13, []byte(name)}, {2, sig}} {
		if len(p.data) > 0xffff {
			return nil, fmt.Errorf("a packet of %d bytes", len(p.data))
		}
		out.Write(binary.BigEndian.AppendUint16([]byte{0x80 | p.tag<<2 | 1}, uint16(len(p.data))))
		out.Write(p.data)
	}
	return out.Bytes(), nil
}

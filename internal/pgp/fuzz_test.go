package pgp

import (
	"bytes"
	"crypto"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// FuzzReadKeys reads keys of any form: what is read has one normal form, which
// reads as the same keys.
func FuzzReadKeys(f *testing.F) {
	ed, rsa := newKey(f, packet.PubKeyAlgoEdDSA, 0, 0), rsaKey()
	raw := exported(f, ed, rsa)
	normal := public(f, ed, rsa).Armor()
	f.Add(raw)
	f.Add(normal)
	f.Add(bytes.ReplaceAll(normal, []byte("\n"), []byte("\r\n  ")))
	f.Add(bytes.ReplaceAll(normal, []byte("\n"), []byte(" ")))
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxx\n"))
	f.Add([]byte("\x99\x00\x06\x04aaaa\x1f\x88\x02\x04\x20"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ReadKeys(text)
		if err != nil {
			return
		}
		if keys.Len() == 0 {
			t.Fatal("no keys and no error")
		}
		keys.List()
		normal := keys.Armor()
		again, err := ReadKeys(normal)
		if err != nil {
			t.Fatalf("the normal form cannot be read: %v", err)
		}
		if !slices.Equal(keys.Fingerprints(), again.Fingerprints()) || !bytes.Equal(normal, again.Armor()) {
			t.Error("the normal form is another set of keys")
		}
	})
}

// FuzzDearmor decodes armored signatures.
func FuzzDearmor(f *testing.F) {
	var text bytes.Buffer
	encodeArmor(&text, signatureBlock, sign(f, "x", crypto.SHA256, packet.SigTypeBinary, newKey(f, packet.PubKeyAlgoEdDSA, 0, 0)))
	f.Add(text.Bytes())
	f.Add([]byte("-----BEGIN PGP SIGNATURE----- Version: 1  aGVsbG8= =AAAA -----END PGP SIGNATURE-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		data, err := Dearmor(text)
		if err == nil && len(data) > len(text) {
			t.Errorf("%d bytes of %d", len(data), len(text))
		}
	})
}

// FuzzVerify verifies signatures: none is good that is not one of the two.
func FuzzVerify(f *testing.F) {
	key, old := newKey(f, packet.PubKeyAlgoEdDSA, 0, 0), rsaKey()
	raw := exported(f, key, old)
	f.Add(raw, sign(f, "x", crypto.SHA256, packet.SigTypeBinary, key))
	f.Add(raw, signV3(f, "x", crypto.SHA256, 0, old))
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxx\n"), []byte{0x88, 0})
	f.Fuzz(func(t *testing.T, text, sigs []byte) {
		keys, err := ReadKeys(text)
		if err != nil {
			return
		}
		if sigs, err := Dearmor(sigs); err == nil {
			if s, err := keys.VerifyText(sigs, func() io.Reader { return strings.NewReader("y") }); (s == nil) != (err != nil) {
				t.Errorf("%v, %v", s, err)
			}
		}
	})
}

package pgp

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // to make signatures that must be refused
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

var signTime = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB, algo packet.PublicKeyAlgorithm, bits int, lifetime uint32) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Test", "", "test@example.org", &packet.Config{
		Time:            func() time.Time { return signTime.AddDate(-1, 0, 0) },
		KeyLifetimeSecs: lifetime, Algorithm: algo, RSABits: bits,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// exported returns public keys as the library writes them, in binary.
func exported(t testing.TB, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, e := range keys {
		if err := e.Serialize(&out); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// rsaKey is made once: it takes a while.
var rsaKey = sync.OnceValue(func() *openpgp.Entity {
	e, err := openpgp.NewEntity("Test RSA", "", "rsa@example.org", &packet.Config{
		Time: func() time.Time { return signTime.AddDate(-1, 0, 0) }, Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048,
	})
	if err != nil {
		panic(err)
	}
	return e
})

func public(t testing.TB, keys ...*openpgp.Entity) *Keys {
	t.Helper()
	out, err := ReadKeys(exported(t, keys...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sign(t testing.TB, text string, hash crypto.Hash, kind packet.SignatureType, e *openpgp.Entity) []byte {
	t.Helper()
	sig := &packet.Signature{
		Version: 4, SigType: kind, PubKeyAlgo: e.PrimaryKey.PubKeyAlgo, Hash: hash,
		CreationTime: signTime, IssuerKeyId: &e.PrimaryKey.KeyId,
	}
	h := hash.New()
	io.WriteString(h, text)
	if err := sig.Sign(h, e.PrivateKey, nil); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := sig.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func signV3(t testing.TB, text string, hash crypto.Hash, kind byte, e *openpgp.Entity) []byte {
	t.Helper()
	b := []byte{3, 5, kind}
	b = binary.BigEndian.AppendUint32(b, uint32(signTime.Unix()))
	h := hash.New()
	io.WriteString(h, text)
	h.Write(b[2:7])
	sum := h.Sum(nil)
	value, err := rsa.SignPKCS1v15(nil, e.PrivateKey.PrivateKey.(*rsa.PrivateKey), hash, sum)
	if err != nil {
		t.Fatal(err)
	}
	b = binary.BigEndian.AppendUint64(b, e.PrimaryKey.KeyId)
	b = append(b, 1, map[crypto.Hash]byte{crypto.SHA1: 2, crypto.SHA256: 8, crypto.SHA512: 10}[hash], sum[0], sum[1])
	for len(value) > 0 && value[0] == 0 {
		value = value[1:]
	}
	bits := len(value)*8 - leadingZeros(value[0])
	b = append(binary.BigEndian.AppendUint16(b, uint16(bits)), value...)
	head := binary.BigEndian.AppendUint16([]byte{0x80 | 2<<2 | 1}, uint16(len(b)))
	return append(head, b...)
}

func leadingZeros(b byte) int {
	n := 0
	for ; b&0x80 == 0; b <<= 1 {
		n++
	}
	return n
}

func TestVerify(t *testing.T) {
	t.Parallel()
	good, other := newKey(t, packet.PubKeyAlgoEdDSA, 0, 0), newKey(t, packet.PubKeyAlgoEdDSA, 0, 0)
	short, weak := newKey(t, packet.PubKeyAlgoEdDSA, 0, 3600), newKey(t, packet.PubKeyAlgoRSA, 1024, 0)
	const text = "hello\nworld\n"
	v3 := signV3(t, text, crypto.SHA256, 0, rsaKey())
	damaged := bytes.Clone(v3)
	damaged[len(damaged)-1] ^= 1
	forged := bytes.Clone(v3)
	forged[3+6]++ // the time
	fileSig, textSig := packet.SignatureType(packet.SigTypeBinary), packet.SignatureType(packet.SigTypeText)
	tests := []struct {
		name string
		sigs []byte
		keys []*openpgp.Entity
		want string
	}{
		{"good", sign(t, text, crypto.SHA256, fileSig, good), []*openpgp.Entity{other, good}, ""},
		{"two, one known", append(sign(t, text, crypto.SHA256, fileSig, other), sign(t, text, crypto.SHA256, fileSig, good)...), []*openpgp.Entity{good}, ""},
		{"version 3", v3, []*openpgp.Entity{rsaKey()}, ""},
		{"version 3, SHA-512", signV3(t, text, crypto.SHA512, 0, rsaKey()), []*openpgp.Entity{good, rsaKey()}, ""},
		{"bad and then good", append(damaged, sign(t, text, crypto.SHA256, fileSig, good)...), []*openpgp.Entity{good, rsaKey()}, ""},
		{"unknown", sign(t, text, crypto.SHA256, fileSig, other), []*openpgp.Entity{good}, "no such key was given"},
		{"version 3 unknown", v3, []*openpgp.Entity{good}, "no such key was given"},
		{"version 3 damaged", damaged, []*openpgp.Entity{rsaKey()}, "changed after it was signed"},
		{"version 3 with another time", forged, []*openpgp.Entity{rsaKey()}, "changed after it was signed"},
		{"version 3 SHA-1", signV3(t, text, crypto.SHA1, 0, rsaKey()), []*openpgp.Entity{rsaKey()}, "SHA-1, which proves nothing"},
		{"version 3 over a text", signV3(t, text, crypto.SHA256, 1, rsaKey()), []*openpgp.Entity{rsaKey()}, "over a text"},
		{"over a text", sign(t, text, crypto.SHA256, textSig, good), []*openpgp.Entity{good}, "over a text"},
		{"another text", sign(t, text+"x", crypto.SHA256, fileSig, good), []*openpgp.Entity{good}, "changed after it was signed"},
		{"key had expired", sign(t, text, crypto.SHA256, fileSig, short), []*openpgp.Entity{short}, "had expired when it signed"},
		{"key too short", sign(t, text, crypto.SHA256, fileSig, weak), []*openpgp.Entity{weak}, "1024 bits"},
		{"nothing", nil, []*openpgp.Entity{good}, "holds no signature"},
		{"cut off", v3[:20], []*openpgp.Entity{rsaKey()}, "damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			signer, err := public(t, tt.keys...).Verify(tt.sigs, func() io.Reader { return strings.NewReader(text) })
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want one with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(signer.Fingerprint) != 40 || !signer.Signed.Equal(signTime) {
				t.Errorf("got %+v", signer)
			}
		})
	}
	if _, err := public(t, good).VerifyText(sign(t, text, crypto.SHA256, fileSig, good), func() io.Reader { return strings.NewReader(text) }); err != nil {
		t.Errorf("a signature over a file is good for a text: %v", err)
	}
	_, err := public(t, good).Verify(nil, func() io.Reader { return strings.NewReader(text) })
	if !errors.Is(err, ErrNotSigned) {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	one, two := newKey(t, packet.PubKeyAlgoEdDSA, 0, 0), newKey(t, packet.PubKeyAlgoEdDSA, 0, 0)
	keys := public(t, one, two)
	if keys.Len() != 2 {
		t.Fatalf("%d keys", keys.Len())
	}
	fp := keys.Fingerprints()[1]
	grouped := strings.ToUpper(fp[:4] + " " + fp[4:20] + "  " + fp[20:])
	for _, id := range []string{fp, grouped, "0x" + fp, fp[24:]} {
		found, err := keys.Find(id)
		if err != nil || found.Len() != 1 || found.Fingerprints()[0] != fp {
			t.Errorf("%s: %v, %v", id, found, err)
		}
	}
	for id, want := range map[string]string{
		fp[32:]: "short key id", "": "neither a public key", "hello": "neither a public key",
		fp[:20]: "has 20 digits", strings.Repeat("00", 20): "there is no key",
	} {
		if _, err := keys.Find(id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", id, err, want)
		}
	}
	if m := Merge(keys, public(t, two)); m.Len() != 2 {
		t.Errorf("%d keys after merging", m.Len())
	}
}

func TestReadKeys(t *testing.T) {
	t.Parallel()
	key := newKey(t, packet.PubKeyAlgoEdDSA, 0, 0)
	var private bytes.Buffer
	w, err := armor.Encode(&private, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.SerializePrivate(w, nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for name, tt := range map[string]struct{ text, want string }{
		"private": {private.String(), "a private key"},
		"empty":   {"", "no key"},
		"text":    {"hello", "neither armored"},
		"large":   {strings.Repeat("x", MaxKeys+1), "larger than"},
	} {
		if _, err := ReadKeys([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

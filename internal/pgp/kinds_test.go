package pgp

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/osbuildkit/osbuildkit/internal/testkey"
)

// A key that certifies itself with SHA-1 is good; what it signs with SHA-1 is
// not.
func TestSHA1Certification(t *testing.T) {
	t.Parallel()
	const text = "hello\n"
	key := rsaKey()
	raw, err := testkey.Public(key.PrivateKey, "Old", testkey.Certification{Hash: crypto.SHA1, Made: signTime.AddDate(-1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ReadKeys(raw)
	if err != nil {
		t.Fatal(err)
	}
	signed := func() io.Reader { return strings.NewReader(text) }
	sig := sign(t, text, crypto.SHA256, packet.SigTypeBinary, key)
	if _, err := keys.Verify(sig, signed); err != nil {
		t.Error(err)
	}
	if _, err := keys.Verify(signV3(t, text, crypto.SHA256, 0, key), signed); err != nil {
		t.Error(err)
	}
	if _, err := keys.Verify(signV3(t, text, crypto.SHA1, 0, key), signed); err == nil || !strings.Contains(err.Error(), "SHA-1") {
		t.Errorf("got %v for a signature with SHA-1", err)
	}
	if !gpgSays(t, raw, sig, text, signTime.AddDate(1, 0, 0)) {
		t.Error("gpg says something else")
	}
}

// pqKey is a key that only the newest programs know.
func pqKey(t testing.TB) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("New", "", "new@example.org", &packet.Config{
		V6Keys: true, Algorithm: packet.PubKeyAlgoMldsa65Ed25519, Time: func() time.Time { return signTime.AddDate(-1, 0, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func signWith(t testing.TB, text string, e *openpgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := openpgp.DetachSign(&out, e, strings.NewReader(text), &packet.Config{Time: func() time.Time { return signTime }}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A distribution may sign with a post-quantum key beside its RSA key: one good
// signature is enough, whatever the other one is.
func TestPostQuantum(t *testing.T) {
	t.Parallel()
	const text = "hello\n"
	pq, rsa := pqKey(t), rsaKey()
	both, err := ReadKeys(public(t, pq, rsa).Armor())
	if err != nil || both.Len() != 2 {
		t.Fatal(both, err)
	}
	if l := both.List(); l[0].Version != 6 || l[0].Algorithm != "ML-DSA-65+Ed25519" || l[0].Problem != nil || len(l[0].Fingerprint) != 64 || l[1].Algorithm != "RSA" {
		t.Fatalf("%+v", l)
	}
	pqSig, rsaSig := signWith(t, text, pq), sign(t, text, crypto.SHA256, packet.SigTypeBinary, rsa)
	// A signature of a kind that nobody knows yet.
	future := bytes.Clone(pqSig)
	future[bytes.IndexByte(future, 6)+2] = 99
	onlyPQ, onlyRSA := both.Split()[0], both.Split()[1]
	for _, tt := range []struct {
		name string
		keys *Keys
		sigs []byte
		by   *Keys
	}{
		{"both, in this order", both, append(bytes.Clone(pqSig), rsaSig...), onlyRSA},
		{"both, in the other", both, append(bytes.Clone(rsaSig), pqSig...), onlyRSA},
		{"the new one alone", both, pqSig, onlyPQ},
		{"the new key alone", onlyPQ, append(bytes.Clone(rsaSig), pqSig...), onlyPQ},
		{"the old key alone", onlyRSA, append(bytes.Clone(pqSig), rsaSig...), onlyRSA},
		{"one of an unknown kind", both, append(bytes.Clone(future), rsaSig...), onlyRSA},
		{"one that is damaged", both, append(bytes.Clone(rsaSig), pqSig[:90]...), onlyRSA},
	} {
		signer, err := tt.keys.Verify(tt.sigs, func() io.Reader { return strings.NewReader(text) })
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if want := tt.by.Fingerprints()[0]; signer.Fingerprint != want {
			t.Errorf("%s: signed by %s, want %s", tt.name, signer.Fingerprint, want)
		}
		if _, err := tt.keys.Verify(tt.sigs, func() io.Reader { return strings.NewReader(text + "x") }); err == nil {
			t.Errorf("%s: another text is good", tt.name)
		}
	}
	for _, id := range []string{onlyPQ.Fingerprints()[0], onlyPQ.Fingerprints()[0][:16]} {
		if found, err := both.Find(id); err != nil || found.Fingerprints()[0] != onlyPQ.Fingerprints()[0] {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// A key of a kind that is not known here stands in no other key's way, and
// keeps its packets.
func TestUnknownAlgorithm(t *testing.T) {
	t.Parallel()
	body := append(binary.BigEndian.AppendUint32([]byte{4}, uint32(signTime.Unix())), 77, 1, 2, 3)
	unknown := append([]byte{0xc0 | 6, byte(len(body))}, body...)
	good := newKey(t, packet.PubKeyAlgoEdDSA, 0, 0)
	raw := append(bytes.Clone(unknown), exported(t, good)...)
	keys, err := ReadKeys(raw)
	if err != nil || keys.Len() != 2 || !bytes.Equal(keys.Packets(), raw) {
		t.Fatal(keys.Len(), err)
	}
	if p := keys.List()[0].Problem; p == nil || !strings.Contains(p.Error(), "algorithm 77") {
		t.Errorf("got %v", p)
	}
	if _, err := keys.Verify(sign(t, "x", crypto.SHA256, packet.SigTypeBinary, good), func() io.Reader { return strings.NewReader("x") }); err != nil {
		t.Error(err)
	}
}

// mpi is a random number of exactly so many bits.
func mpi(bits int) []byte {
	b := make([]byte, (bits+7)/8)
	for i := range b {
		b[i] = byte(rand.IntN(256))
	}
	top := (bits-1)%8 + 1
	b[0] = b[0]&(1<<top-1) | 1<<(top-1)
	b[len(b)-1] |= 1
	return append(binary.BigEndian.AppendUint16(nil, uint16(bits)), b...)
}

// Nothing is calculated with a key of a size that no program makes.
func TestKeySizes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		algo byte
		mpis []int
		want string
	}{
		{"long RSA", 1, []int{16384, 17}, "an RSA key of 16384 bits takes too long"},
		{"short RSA", 1, []int{1024, 17}, "an RSA key of 1024 bits proves nothing"},
		{"long DSA", 17, []int{16384, 256, 16383, 16384}, "a DSA key of 16384 bits takes too long"},
		{"DSA with a long subgroup", 17, []int{3072, 3071, 3072, 3072}, "a subgroup of 3071 bits"},
		{"DSA with a long number", 17, []int{3072, 256, 3072, 30000}, "larger than its prime"},
		{"short DSA", 17, []int{1024, 160, 1024, 1024}, "a DSA key of 1024 bits proves nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := append(binary.BigEndian.AppendUint32([]byte{4}, uint32(signTime.Unix())), tt.algo)
			for _, bits := range tt.mpis {
				body = append(body, mpi(bits)...)
			}
			raw := append(binary.BigEndian.AppendUint16([]byte{0x80 | 6<<2 | 1}, uint16(len(body))), body...)
			raw = append(raw, 0xc0|13, 1, 'a')
			keys, err := ReadKeys(raw)
			if err != nil {
				t.Fatal(err)
			}
			if p := keys.List()[0].Problem; p == nil || !strings.Contains(p.Error(), tt.want) {
				t.Errorf("got %v, want %q", p, tt.want)
			}
			if err := keys.Check(); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), keys.Fingerprints()[0]) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err := Merge(keys, public(t, newKey(t, packet.PubKeyAlgoEdDSA, 0, 0))).Check(); err != nil {
				t.Errorf("beside a good key: %v", err)
			}
		})
	}
}

// What a key says of itself is looked at up to a bound.
func TestManySelfSignatures(t *testing.T) {
	t.Parallel()
	m := makeKey(t, "2020-01-01").name("a")
	forged := m.says(packet.SigTypePositiveCert, "2022-01-01", []option{signing})
	m.must(forged.SignUserId("b", &m.primary.PublicKey, m.primary, nil))
	for range maxChecks + 1 {
		m.write(forged)
	}
	keys, err := ReadKeys(m.out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if p := keys.List()[0].Problem; p == nil || !strings.Contains(p.Error(), "more than 100 signatures") {
		t.Errorf("got %v", p)
	}
}

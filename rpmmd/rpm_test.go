package rpmmd

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func testKeys(t testing.TB, names ...string) *Keys {
	t.Helper()
	var text strings.Builder
	for _, name := range names {
		text.Write(testdata(t, name+".asc"))
	}
	keys, err := ParseKeys(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// value is one entry of a header that a test makes.
type value struct {
	tag, typ, count uint32
	data            []byte
}

func str(tag uint32, s string) value { return value{tag, typeString, 1, append([]byte(s), 0)} }

func num(tag, n uint32) value {
	return value{tag, typeInt32, 1, binary.BigEndian.AppendUint32(nil, n)}
}

func bin(tag uint32, b []byte) value { return value{tag, typeBinary, uint32(len(b)), b} }

func texts(tag uint32, all ...string) value {
	return value{tag, typeArray, uint32(len(all)), []byte(strings.Join(all, "\x00") + "\x00")}
}

// makeHeader writes a header with the region that covers it.
func makeHeader(region uint32, values ...value) []byte {
	var index, data []byte
	count := uint32(len(values) + 1)
	entry := func(tag, typ, offset, count uint32) []byte {
		b := binary.BigEndian.AppendUint32(nil, tag)
		b = binary.BigEndian.AppendUint32(b, typ)
		b = binary.BigEndian.AppendUint32(b, offset)
		return binary.BigEndian.AppendUint32(b, count)
	}
	for _, v := range values {
		for v.typ == typeInt32 && len(data)%4 != 0 {
			data = append(data, 0)
		}
		index = append(index, entry(v.tag, v.typ, uint32(len(data)), v.count)...)
		data = append(data, v.data...)
	}
	index = append(entry(region, typeBinary, uint32(len(data)), 16), index...)
	data = append(data, entry(region, typeBinary, -count*16, 16)...)
	out := binary.BigEndian.AppendUint32(bytes.Clone(headerMagic), count)
	out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
	return append(append(out, index...), data...)
}

func makeRPM(signatures, head, payload []byte) []byte {
	lead := make([]byte, leadSize)
	copy(lead, []byte{0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0})
	out := append(lead, signatures...)
	out = append(out, make([]byte, -len(signatures)&7)...)
	return append(append(out, head...), payload...)
}

func fields(more ...value) []value {
	return append([]value{str(tagName, "tiny"), str(tagVersion, "1"), str(tagRelease, "2"), str(tagArch, "noarch")}, more...)
}

type testKey struct{ e *openpgp.Entity }

func newTestKey(t testing.TB) testKey {
	t.Helper()
	e, err := openpgp.NewEntity("Test", "", "test@example.org", &packet.Config{
		Time: func() time.Time { return time.Unix(1700000000, 0) }, Algorithm: packet.PubKeyAlgoEdDSA,
	})
	if err != nil {
		t.Fatal(err)
	}
	return testKey{e}
}

func (k testKey) public(t testing.TB) *Keys {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.e.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys(out.String())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (k testKey) sign(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	sig := &packet.Signature{
		Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: k.e.PrimaryKey.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: time.Unix(1710000000, 0), IssuerKeyId: &k.e.PrimaryKey.KeyId,
	}
	h := crypto.SHA256.New()
	for _, p := range parts {
		h.Write(p)
	}
	var out bytes.Buffer
	if err := errors.Join(sig.Sign(h, k.e.PrivateKey, nil), sig.Serialize(&out)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Packages that rpm itself has built and signed.
func TestVerifyPackage(t *testing.T) {
	t.Parallel()
	both := testKeys(t, "ed25519", "rsa")
	for _, name := range []string{"ed25519", "rsa"} {
		data := testdata(t, name+".rpm")
		f, signer, err := VerifyPackage(bytes.NewReader(data), int64(len(data)), both)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f.NEVRA() != "hello-1:2.10-3~rc1.noarch" || f.License != "MIT" || f.Vendor != "Example" || f.InstalledSize != 6 ||
			f.BuildTime != 1735689600 || f.SourceRPM != "hello-2.10-3~rc1.src.rpm" || !f.Signed ||
			f.HeaderSHA256 != "815a4fbd5bd872aba4df06218c7c35206ff3f551fb738865ca86ca7ab28cfcf3" ||
			f.PayloadDigest.String() != "sha256:aec9db268074edfce24efbac8dd8a04a20d31385148506f9e225d2372c57be0c" {
			t.Errorf("%s: got %+v", name, f)
		}
		if want := testKeys(t, name).Fingerprints()[0]; signer.Fingerprint != want {
			t.Errorf("%s: signed by %s, want %s", name, signer.Fingerprint, want)
		}
		other := map[string]string{"rsa": "ed25519", "ed25519": "rsa"}[name]
		_, _, err = VerifyPackage(bytes.NewReader(data), int64(len(data)), testKeys(t, other))
		if err == nil || !strings.Contains(err.Error(), "no such key was given") || !strings.Contains(err.Error(), "hello-1:2.10-3~rc1.noarch") {
			t.Errorf("%s with the wrong key: %v", name, err)
		}
	}
	data := testdata(t, "unsigned.rpm")
	if _, _, err := VerifyPackage(bytes.NewReader(data), int64(len(data)), both); !errors.Is(err, ErrNotSigned) || !strings.Contains(err.Error(), "is not signed") {
		t.Errorf("unsigned: %v", err)
	}
	if f, err := CheckPackage(bytes.NewReader(data), int64(len(data))); err != nil || f.Signed {
		t.Errorf("unsigned: %+v, %v", f, err)
	}
}

// Whatever byte is changed, the package is not taken for good, apart from
// those that nothing vouches for: the lead's, the padding and what in the
// signature header is not the signature.
func TestVerifyPackageChanged(t *testing.T) {
	t.Parallel()
	keys := testKeys(t, "ed25519")
	data := testdata(t, "ed25519.rpm")
	f, err := ReadFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for i := int(f.headerStart()); i < len(data); i += 3 {
		changed := bytes.Clone(data)
		changed[i] ^= 0x20
		if _, _, err := VerifyPackage(bytes.NewReader(changed), int64(len(changed)), keys); err == nil {
			t.Errorf("byte %d can be changed", i)
		}
	}
	for _, n := range []int{0, 50, 96, 200, int(f.headerStart()), int(f.HeaderEnd) - 1, int(f.HeaderEnd), len(data) - 1} {
		if _, _, err := VerifyPackage(bytes.NewReader(data[:n]), int64(n), keys); err == nil {
			t.Errorf("can be cut off after %d bytes", n)
		}
	}
	longer := append(bytes.Clone(data), 0)
	if _, _, err := VerifyPackage(bytes.NewReader(longer), int64(len(longer)), keys); err == nil {
		t.Error("a byte can be added")
	}
}

func TestVerifyMadePackage(t *testing.T) {
	t.Parallel()
	key, other := newTestKey(t), newTestKey(t)
	payload := []byte("the payload")
	now := makeHeader(tagHeaderImmutable, fields(texts(tagPayloadDigest, hexSum(payload)), num(tagPayloadDigestAlg, 8))...)
	old := makeHeader(tagHeaderImmutable, fields()...)
	weak := makeHeader(tagHeaderImmutable, fields(texts(tagPayloadDigest, strings.Repeat("0", 40)), num(tagPayloadDigestAlg, 2))...)
	sigs := func(values ...value) []byte { return makeHeader(tagHeaderSignatures, values...) }
	// Older versions end the region of the signatures with another tag.
	image := sigs(bin(sigTagGPG, key.sign(t, old, payload)))
	binary.BigEndian.PutUint32(image[len(image)-16:], tagHeaderImage)
	base64Of := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	tests := []struct {
		name, want string
		data       []byte
	}{
		{"header, binary", "", makeRPM(sigs(bin(sigTagDSA, key.sign(t, now))), now, payload)},
		{"header, of rpm 6", "", makeRPM(sigs(texts(sigTagOpenPGP, base64Of(other.sign(t, now)), base64Of(key.sign(t, now)))), now, payload)},
		{"header and payload", "", makeRPM(sigs(bin(sigTagGPG, key.sign(t, old, payload))), old, payload)},
		{"region of older versions", "", makeRPM(image, old, payload)},
		{"header's checksum", "", makeRPM(sigs(str(sigTagSHA256, hexSum(now)), bin(sigTagRSA, key.sign(t, now))), now, payload)},
		{"header's wrong checksum", "header is damaged", makeRPM(sigs(str(sigTagSHA256, hexSum(old)), bin(sigTagRSA, key.sign(t, now))), now, payload)},
		{"only the header, and nothing about the payload", "only the header is signed", makeRPM(sigs(bin(sigTagDSA, key.sign(t, old))), old, payload)},
		{"another payload", "payload was changed", makeRPM(sigs(bin(sigTagDSA, key.sign(t, now))), now, []byte("another"))},
		{"another payload of an old package", "changed after it was signed", makeRPM(sigs(bin(sigTagGPG, key.sign(t, old, payload))), old, []byte("another"))},
		{"signature of another header", "changed after it was signed", makeRPM(sigs(bin(sigTagDSA, key.sign(t, old))), now, payload)},
		{"another key", "no such key", makeRPM(sigs(bin(sigTagDSA, other.sign(t, now))), now, payload)},
		{"SHA-1 of the payload", "proves nothing", makeRPM(sigs(bin(sigTagDSA, key.sign(t, weak))), weak, payload)},
		{"no base64", "no base64", makeRPM(sigs(texts(sigTagOpenPGP, "!")), now, payload)},
		{"not signed", "is not signed", makeRPM(sigs(str(sigTagSHA256, hexSum(now))), now, payload)},
		{"wrong size", "bytes instead of", makeRPM(sigs(num(sigTagSize, 5)), now, payload)},
		{"signature that is no binary", "is not binary", makeRPM(sigs(str(sigTagDSA, "x")), now, payload)},
		{"tag twice", "twice", makeRPM(sigs(), makeHeader(tagHeaderImmutable, fields(str(tagName, "other"))...), payload)},
		{"name that leads out", "not valid", makeRPM(sigs(), makeHeader(tagHeaderImmutable, str(tagName, "../x"), str(tagVersion, "1"), str(tagRelease, "2"), str(tagArch, "noarch")), payload)},
		{"no name", "not valid", makeRPM(sigs(), makeHeader(tagHeaderImmutable, str(tagVersion, "1")), payload)},
		{"no region", "not in one piece", makeRPM(sigs(), makeHeader(1, fields()...), payload)},
		{"no package", "not an RPM package", []byte("!<arch>\n")},
		{"source package", "source package", append([]byte{0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 1}, make([]byte, 100)...)},
	}
	keys := key.public(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, signer, err := VerifyPackage(bytes.NewReader(tt.data), int64(len(tt.data)), keys)
			if tt.want == "" {
				if err != nil || f.NEVRA() != "tiny-1-2.noarch" || signer == nil {
					t.Errorf("got %+v, %v", f, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// A header that claims to be large takes no memory for what is not there. The
// test is not parallel, as it looks at the memory of all.
func TestHeaderClaims(t *testing.T) {
	for _, n := range [][2]uint32{{0xffff, maxHeaderData}, {0xffffffff, 1}, {1, 0xffffffff}, {0, 0}, {1, 16}} {
		intro := binary.BigEndian.AppendUint32(bytes.Clone(headerMagic), n[0])
		intro = binary.BigEndian.AppendUint32(intro, n[1])
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := readHeader(bytes.NewReader(intro), tagHeaderImmutable, maxHeaderData); err == nil {
			t.Errorf("%v: no error", n)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%v: took %d bytes", n, took)
		}
	}
}

func TestCheckFile(t *testing.T) {
	t.Parallel()
	f, err := ReadFile(bytes.NewReader(testdata(t, "rsa.rpm")))
	if err != nil {
		t.Fatal(err)
	}
	p := Package{Name: "hello", Epoch: 1, Version: "2.10", Release: "3~rc1", Arch: "noarch", File: "x.rpm"}
	if err := p.CheckFile(f); err != nil {
		t.Error(err)
	}
	p.Epoch = 0
	if err := p.CheckFile(f); err == nil || !strings.Contains(err.Error(), "is package hello-1:2.10-3~rc1.noarch and not hello-2.10-3~rc1.noarch") {
		t.Errorf("got %v", err)
	}
}

func FuzzReadFile(f *testing.F) {
	for _, name := range []string{"unsigned.rpm", "ed25519.rpm", "rsa.rpm"} {
		f.Add(testdata(f, name))
	}
	payload := []byte("p")
	head := makeHeader(tagHeaderImmutable, fields(texts(tagPayloadDigest, hexSum(payload)))...)
	f.Add(makeRPM(makeHeader(tagHeaderSignatures, texts(sigTagOpenPGP, "AAAA")), head, payload))
	keys := testKeys(f, "rsa")
	good := map[string]bool{hexSum(testdata(f, "rsa.rpm")): true}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, signer, err := VerifyPackage(bytes.NewReader(data), int64(len(data)), keys)
		if err != nil {
			CheckPackage(bytes.NewReader(data), int64(len(data)))
			return
		}
		// Lead and signature header are not signed, the rest is.
		if rsa := testdata(t, "rsa.rpm"); !good[hexSum(data)] && !bytes.HasSuffix(rsa, data[file.headerStart():]) {
			t.Errorf("a package is signed by %s that was not", signer.Fingerprint)
		}
	})
}

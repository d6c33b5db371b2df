package rpmmd

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/osbuildkit/osbuildkit/internal/testkey"
)

// signedBy returns the package unsigned.rpm with signatures over its header.
func signedBy(t testing.TB, values func(header []byte) []value) []byte {
	t.Helper()
	data := testdata(t, "unsigned.rpm")
	f, err := ReadFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	sigs := makeHeader(tagHeaderSignatures, append(values(f.header.raw), str(sigTagSHA256, hexSum(f.header.raw)))...)
	return slices.Concat(data[:leadSize], sigs, make([]byte, -len(sigs)&7), f.header.raw, data[f.HeaderEnd:])
}

func detached(t testing.TB, e *openpgp.Entity, data []byte, when time.Time) []byte {
	t.Helper()
	var out bytes.Buffer
	no := false
	config := &packet.Config{Time: func() time.Time { return when }, DefaultHash: crypto.SHA256, NonDeterministicSignaturesViaNotation: &no}
	if e.PrimaryKey.Version > 4 {
		if err := openpgp.DetachSign(&out, e, bytes.NewReader(data), config); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	// Also with a key that the library calls expired.
	sig := &packet.Signature{
		Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: e.PrimaryKey.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: when, IssuerKeyId: &e.PrimaryKey.KeyId,
	}
	h := crypto.SHA256.New()
	h.Write(data)
	if err := errors.Join(sig.Sign(h, e.PrivateKey, config), sig.Serialize(&out)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func exportedKeys(t testing.TB, keys ...*openpgp.Entity) *Keys {
	t.Helper()
	var out bytes.Buffer
	for _, e := range keys {
		if err := e.Serialize(&out); err != nil {
			t.Fatal(err)
		}
	}
	read, err := ReadKeys(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func entity(t testing.TB, config packet.Config, when time.Time) *openpgp.Entity {
	t.Helper()
	config.Time = func() time.Time { return when }
	e, err := openpgp.NewEntity("Test", "", "test@example.org", &config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var made2020, signed2021 = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 6, 1, 0, 0, 0, 0, time.UTC)

// A package that is signed by an RSA key and by a post-quantum one is good if
// one of the signatures is, and then it is the key that every rpm reads that
// the system's rpm gets to know.
func TestPostQuantumPackage(t *testing.T) {
	t.Parallel()
	rsa := entity(t, packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048}, made2020)
	pq := entity(t, packet.Config{V6Keys: true, Algorithm: packet.PubKeyAlgoMldsa65Ed25519}, made2020)
	both, onlyRSA, onlyPQ := exportedKeys(t, pq, rsa), exportedKeys(t, rsa), exportedKeys(t, pq)
	text := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	of := func(forms string) []byte {
		return signedBy(t, func(header []byte) []value {
			one, two := detached(t, rsa, header, signed2021), detached(t, pq, header, signed2021)
			switch forms {
			case "rpm 6":
				return []value{bin(sigTagRSA, one), texts(sigTagOpenPGP, text(two), text(one))}
			case "rpm 6, broken":
				return []value{bin(sigTagRSA, one), texts(sigTagOpenPGP, "!", text(two[:99]), text(one))}
			case "the new one alone":
				return []value{texts(sigTagOpenPGP, text(two))}
			case "the old one of another header":
				return []value{bin(sigTagRSA, detached(t, rsa, []byte("x"), signed2021)), texts(sigTagOpenPGP, text(two))}
			}
			return []value{bin(sigTagRSA, one)}
		})
	}
	for _, tt := range []struct {
		forms string
		keys  *Keys
		by    *Keys
	}{
		{"rpm 6", both, onlyRSA}, {"rpm 6", onlyRSA, onlyRSA}, {"rpm 6", onlyPQ, onlyPQ},
		{"rpm 6, broken", both, onlyRSA}, {"the new one alone", both, onlyPQ}, {"the old one alone", both, onlyRSA},
		{"the old one of another header", both, onlyPQ},
	} {
		data := of(tt.forms)
		_, signer, err := VerifyPackage(bytes.NewReader(data), int64(len(data)), tt.keys)
		if err != nil || signer.Fingerprint != tt.by.Fingerprints()[0] {
			t.Errorf("%s with %d keys: got %+v, %v", tt.forms, tt.keys.Len(), signer, err)
		}
	}
	data := of("the old one of another header")
	if _, _, err := VerifyPackage(bytes.NewReader(data), int64(len(data)), onlyRSA); err == nil {
		t.Error("a package is good by a signature of another one")
	}
}

// Packages by keys as distributions have them, and what rpm says of them.
func TestPackageKeys(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	rsa := entity(t, packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048}, made2020)
	first := testkey.Certification{Hash: crypto.SHA256, Made: made2020, Lifetime: 2 * year}
	renewal := testkey.Certification{Hash: crypto.SHA256, Made: made2020.AddDate(2, 0, 0), Lifetime: 30 * year}
	old := testkey.Certification{Hash: crypto.SHA1, Made: made2020}
	short := testkey.Certification{Hash: crypto.SHA256, Made: made2020, Lifetime: year}
	data := signedBy(t, func(header []byte) []value { return []value{bin(sigTagRSA, detached(t, rsa, header, signed2021))} })
	for _, tt := range []struct {
		name string
		says []testkey.Certification
		want string
	}{
		{"renewed after it signed", []testkey.Certification{first, renewal}, ""},
		{"renewed, and the renewal first", []testkey.Certification{renewal, first}, ""},
		{"the renewal alone", []testkey.Certification{renewal}, ""},
		{"expired when it signed", []testkey.Certification{short}, "had expired when it signed"},
		{"certifies itself with SHA-1", []testkey.Certification{old}, ""},
		{"certifies itself with SHA-1 and was renewed since", []testkey.Certification{old, renewal}, ""},
	} {
		packets, err := testkey.Public(rsa.PrivateKey, "Example", tt.says...)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := ReadKeys(packets)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = VerifyPackage(bytes.NewReader(data), int64(len(data)), keys)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if err == nil {
			rpmSaysGood(t, tt.name, keys, data)
		}
	}
}

// rpmSaysGood compares with rpm where there is one. The policy is the one that
// the stages give it.
func rpmSaysGood(t *testing.T, name string, keys *Keys, data []byte) {
	t.Helper()
	if _, err := exec.LookPath("rpmkeys"); err != nil {
		t.Log("there is no rpm to compare with")
		return
	}
	dir := t.TempDir()
	const policy = "[hash_algorithms]\nsha1.collision_resistance = \"always\"\nsha1.second_preimage_resistance = \"always\"\n"
	for file, content := range map[string][]byte{"key.asc": keys.Armor(), "x.rpm": data, "policy": []byte(policy)} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rpmkeys := func(args ...string) {
		cmd := exec.Command("rpmkeys", append([]string{"--dbpath", filepath.Join(dir, "db")}, args...)...)
		cmd.Env = append(os.Environ(), "RPM_SEQUOIA_CRYPTO_POLICY="+filepath.Join(dir, "policy"), "LC_ALL=C")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: rpmkeys %q: %v\n%s", name, args, err, out)
		}
	}
	rpmkeys("--import", filepath.Join(dir, "key.asc"))
	rpmkeys("-v", "--checksig", filepath.Join(dir, "x.rpm"))
}

// FuzzVerifyPackage verifies packages with any keys and signatures: none is
// good but with the payload that was signed.
func FuzzVerifyPackage(f *testing.F) {
	ed := entity(f, packet.Config{Algorithm: packet.PubKeyAlgoEdDSA}, made2020)
	payload := []byte("the payload")
	head := makeHeader(tagHeaderImmutable, fields(texts(tagPayloadDigest, hexSum(payload)), num(tagPayloadDigestAlg, 8))...)
	sig := detached(f, ed, head, signed2021)
	f.Add(exportedKeys(f, ed).Packets(), sig, "", payload)
	f.Add(exportedKeys(f, ed).Armor(), []byte{}, base64.StdEncoding.EncodeToString(sig), payload)
	f.Add([]byte(testdata(f, "rsa.asc")), sig, "AAAA", payload)
	f.Fuzz(func(t *testing.T, text, binary []byte, base string, content []byte) {
		keys, err := ReadKeys(text)
		if err != nil || strings.ContainsRune(base, 0) {
			return
		}
		data := makeRPM(makeHeader(tagHeaderSignatures, bin(sigTagRSA, binary), texts(sigTagOpenPGP, base)), head, content)
		if _, signer, err := VerifyPackage(bytes.NewReader(data), int64(len(data)), keys); err == nil && !bytes.Equal(content, payload) {
			t.Errorf("another payload is signed by %s", signer.Fingerprint)
		}
	})
}

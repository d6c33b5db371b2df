package pgp

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// day is a day of tests.
func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

// made is a key that a test puts together, packet by packet.
type made struct {
	t       testing.TB
	primary *packet.PrivateKey
	sub     *packet.PrivateKey
	out     bytes.Buffer
}

func newPrivate(t testing.TB, created time.Time) *packet.PrivateKey {
	t.Helper()
	e, err := openpgp.NewEntity("x", "", "", &packet.Config{Time: func() time.Time { return created }, Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	return e.PrivateKey
}

// makeKey begins a key of the given day.
func makeKey(t testing.TB, created string) *made {
	t.Helper()
	m := &made{t: t, primary: newPrivate(t, day(created))}
	m.write(&m.primary.PublicKey)
	return m
}

func (m *made) write(p interface{ Serialize(io.Writer) error }) *made {
	m.t.Helper()
	if err := p.Serialize(&m.out); err != nil {
		m.t.Fatal(err)
	}
	return m
}

// says makes a signature of the primary key, which options change.
func (m *made) says(kind packet.SignatureType, on string, options []option) *packet.Signature {
	sig := &packet.Signature{
		Version: 4, SigType: kind, PubKeyAlgo: m.primary.PubKeyAlgo, Hash: crypto.SHA256, CreationTime: day(on),
		IssuerKeyId: &m.primary.KeyId, IssuerFingerprint: m.primary.Fingerprint, IssuerKeyVersion: 4,
	}
	for _, o := range options {
		o(sig)
	}
	return sig
}

type option func(*packet.Signature)

// until makes a key expire after days of its life.
func until(days int) option {
	return func(s *packet.Signature) { n := uint32(days * 86400); s.KeyLifetimeSecs = &n }
}

func signing(s *packet.Signature)    { s.FlagsValid, s.FlagCertify, s.FlagSign = true, true, true }
func encrypting(s *packet.Signature) { s.FlagsValid, s.FlagEncryptCommunications = true, true }
func because(r packet.ReasonForRevocation) option {
	return func(s *packet.Signature) { s.RevocationReason = &r }
}

func (m *made) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// user adds a name, if it is not the last one, and a signature on it.
func (m *made) user(name, on string, options ...option) *made {
	m.t.Helper()
	return m.name(name).certify(name, packet.SigTypePositiveCert, on, options...)
}

func (m *made) name(name string) *made {
	m.t.Helper()
	return m.write(packet.NewUserId(name, "", ""))
}

func (m *made) certify(name string, kind packet.SignatureType, on string, options ...option) *made {
	m.t.Helper()
	sig := m.says(kind, on, options)
	m.must(sig.SignUserId(name, &m.primary.PublicKey, m.primary, nil))
	return m.write(sig)
}

// direct adds a signature on the primary key itself.
func (m *made) direct(on string, options ...option) *made {
	m.t.Helper()
	sig := m.says(packet.SigTypeDirectSignature, on, options)
	m.must(sig.SignDirectKeyBinding(&m.primary.PublicKey, m.primary, nil))
	return m.write(sig)
}

// revoke adds a revocation of the key.
func (m *made) revoke(on string, options ...option) *made {
	m.t.Helper()
	sig := m.says(packet.SigTypeKeyRevocation, on, options)
	m.must(sig.RevokeKey(&m.primary.PublicKey, m.primary, nil))
	return m.write(sig)
}

// subkey adds a subkey.
func (m *made) subkey(created string) *made {
	m.t.Helper()
	m.sub = newPrivate(m.t, day(created))
	m.sub.IsSubkey = true
	return m.write(&m.sub.PublicKey)
}

// bind adds a signature on the subkey; crossed says whether it has one of the
// subkey in it.
func (m *made) bind(on string, crossed bool, options ...option) *made {
	m.t.Helper()
	sig := m.says(packet.SigTypeSubkeyBinding, on, options)
	if crossed {
		sig.EmbeddedSignature = &packet.Signature{
			Version: 4, SigType: packet.SigTypePrimaryKeyBinding, PubKeyAlgo: m.sub.PubKeyAlgo, Hash: sig.Hash,
			CreationTime: sig.CreationTime, IssuerKeyId: &m.sub.KeyId,
		}
		m.must(sig.EmbeddedSignature.CrossSignKey(&m.sub.PublicKey, &m.primary.PublicKey, m.sub, nil))
	}
	m.must(sig.SignKey(&m.sub.PublicKey, m.primary, nil))
	return m.write(sig)
}

func (m *made) revokeSubkey(on string, options ...option) *made {
	m.t.Helper()
	sig := m.says(packet.SigTypeSubkeyRevocation, on, options)
	m.must(sig.RevokeSubkey(&m.sub.PublicKey, m.primary, nil))
	return m.write(sig)
}

// sign signs a text with the subkey, or with the primary key if there is none.
func (m *made) sign(text, on string) []byte {
	m.t.Helper()
	key := m.primary
	if m.sub != nil {
		key = m.sub
	}
	sig := &packet.Signature{
		Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: key.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: day(on), IssuerKeyId: &key.KeyId,
	}
	h := crypto.SHA256.New()
	io.WriteString(h, text)
	var out bytes.Buffer
	m.must(errors.Join(sig.Sign(h, key, nil), sig.Serialize(&out)))
	return out.Bytes()
}

// gpgSays returns whether gpg calls a signature good at a time, by a key that
// it knows. It skips the rest of the test where there is no gpg.
func gpgSays(t *testing.T, keys, sig []byte, text string, now time.Time) bool {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("there is no gpg to compare with")
	}
	home := t.TempDir()
	for name, data := range map[string][]byte{"key": keys, "sig": sig, "text": []byte(text)} {
		if err := os.WriteFile(filepath.Join(home, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gpg := func(args ...string) string {
		all := append([]string{"--homedir", home, "--batch", "--no-tty", "--no-autostart", "--faked-system-time", now.Format("20060102T150405!"), "--status-fd", "1"}, args...)
		out, _ := exec.Command("gpg", all...).CombinedOutput() // what it says is looked at
		return string(out)
	}
	log := gpg("--import", filepath.Join(home, "key"))
	log += gpg("--verify", filepath.Join(home, "sig"), filepath.Join(home, "text"))
	good := strings.Contains(log, "[GNUPG:] GOODSIG") && strings.Contains(log, "[GNUPG:] VALIDSIG")
	t.Logf("gpg: good %v\n%s", good, log)
	return good
}

package debian

import (
	"bytes"
	"crypto"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/osbuildkit/osbuildkit/internal/testkey"
)

const year = 365 * 24 * time.Hour

// rsaKey returns an RSA key, and its public packets with other certifications.
func rsaKey(t *testing.T) (*openpgp.Entity, func(...testkey.Certification) []byte) {
	t.Helper()
	e, err := openpgp.NewEntity("Archive", "", "", &packet.Config{
		Time: func() time.Time { return signTime.AddDate(-3, 0, 0) }, Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e, func(says ...testkey.Certification) []byte {
		packets, err := testkey.Public(e.PrivateKey, "Archive", says...)
		if err != nil {
			t.Fatal(err)
		}
		return packets
	}
}

// An archive extends the time of its key after it has signed with it.
func TestRenewedKey(t *testing.T) {
	t.Parallel()
	key, public := rsaKey(t)
	made := signTime.AddDate(-3, 0, 0)
	first := testkey.Certification{Hash: crypto.SHA256, Made: made, Lifetime: 4 * year}
	renewal := testkey.Certification{Hash: crypto.SHA256, Made: signTime.AddDate(0, 6, 0), Lifetime: 10 * year}
	data := sign(t, testRelease(""), key)
	late := signTime.AddDate(2, 0, 0)
	for _, tt := range []struct {
		name string
		says []testkey.Certification
		want string
	}{
		{"as it was", []testkey.Certification{first}, "expired on 2026-05-31; give a newer key"},
		{"renewed", []testkey.Certification{first, renewal}, ""},
		{"the renewal alone", []testkey.Certification{renewal}, ""},
		{"certifies itself with SHA-1", []testkey.Certification{{Hash: crypto.SHA1, Made: made}}, ""},
	} {
		rel, err := ParseInRelease(data, public(tt.says...))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if err := rel.CheckValid(late, false); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if err := rel.CheckValid(late, true); err != nil {
			t.Errorf("%s and pinned: %v", tt.name, err)
		}
	}
}

// Of an archive's old key and its new one, the one that is valid longest says
// how long the file is good.
func TestOldAndNewKey(t *testing.T) {
	t.Parallel()
	old, newer := newKey(t, uint32((370*24*time.Hour).Seconds())), newKey(t, 0)
	late := signTime.AddDate(1, 0, 0)
	for _, order := range [][]*openpgp.Entity{{old, newer}, {newer, old}} {
		rel, err := ParseInRelease(sign(t, testRelease(""), order...), armored(t, old, newer))
		if err != nil {
			t.Fatal(err)
		}
		if err := rel.CheckValid(late, false); err != nil {
			t.Error(err)
		}
	}
	rel, err := ParseInRelease(sign(t, testRelease(""), old, newer), armored(t, old))
	if err != nil {
		t.Fatal(err)
	}
	if err := rel.CheckValid(late, false); err == nil {
		t.Error("the old key alone is good after its time")
	}
}

// A subkey that has expired signs nothing that is not pinned, whatever date the
// signature has; a key that was given up neither.
func TestBackdatedSignature(t *testing.T) {
	t.Parallel()
	made := signTime.AddDate(-1, 0, 0)
	for _, tt := range []struct {
		name, now, always string
		change            func(t *testing.T, e *openpgp.Entity, config *packet.Config)
	}{
		{name: "subkey expired since", now: "expired on 2025-06-02", change: func(t *testing.T, e *openpgp.Entity, config *packet.Config) {
			t.Helper()
			config.KeyLifetimeSecs = uint32((366 * 24 * time.Hour).Seconds())
			if err := e.AddSigningSubkey(config); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "replaced since", now: "was revoked on 2025-09-01", change: func(t *testing.T, e *openpgp.Entity, config *packet.Config) {
			t.Helper()
			config.Time = func() time.Time { return signTime.AddDate(0, 3, 0) }
			if err := e.RevokeKey(packet.KeySuperseded, "", config); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "compromised", always: "somebody else may have it", change: func(t *testing.T, e *openpgp.Entity, config *packet.Config) {
			t.Helper()
			config.Time = func() time.Time { return signTime.AddDate(0, 3, 0) }
			if err := e.RevokeKey(packet.KeyCompromised, "", config); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "revoked without a reason", always: "no reason is given", change: func(t *testing.T, e *openpgp.Entity, config *packet.Config) {
			t.Helper()
			config.Time = func() time.Time { return signTime.AddDate(0, 3, 0) }
			if err := e.RevokeKey(packet.NoReason, "", config); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			config := &packet.Config{Time: func() time.Time { return made }, Algorithm: packet.PubKeyAlgoEdDSA}
			e, err := openpgp.NewEntity("Archive", "", "", config)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, e, config)
			signer := *e
			if last := e.Subkeys[len(e.Subkeys)-1]; last.Sig.FlagSign {
				signer.PrivateKey = last.PrivateKey
			}
			var ring bytes.Buffer
			if err := e.Serialize(&ring); err != nil {
				t.Fatal(err)
			}
			rel, err := ParseInRelease(sign(t, testRelease(""), &signer), ring.Bytes())
			if tt.always != "" {
				if err == nil || !strings.Contains(err.Error(), tt.always) {
					t.Errorf("got %v, want %q", err, tt.always)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := rel.CheckValid(signTime.AddDate(1, 0, 0), false); err == nil || !strings.Contains(err.Error(), tt.now) {
				t.Errorf("got %v, want %q", err, tt.now)
			}
			if err := rel.CheckValid(signTime.AddDate(1, 0, 0), true); err != nil {
				t.Errorf("pinned: %v", err)
			}
		})
	}
}

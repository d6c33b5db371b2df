package pgp

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Cases about when a key is valid. The text is signed on the day signed.
var validity = []struct {
	name   string
	make   func(*testing.T) *made
	signed string
	// err is the error whatever the time is; now is the one of today.
	err, now string
	// gpgDiffers says why gpg judges otherwise.
	gpgDiffers string
}{
	{name: "never expires", signed: "2021-06-01", make: func(t *testing.T) *made { return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing) }},
	{name: "renewed after it signed", signed: "2021-06-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing, until(700)).certify("a", packet.SigTypePositiveCert, "2022-01-01", signing, until(3000))
	}},
	{name: "signed while it had expired and renewed since", signed: "2021-06-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing, until(300)).certify("a", packet.SigTypePositiveCert, "2022-01-01", signing, until(3000))
	}},
	{name: "the renewal alone", signed: "2021-06-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2022-01-01", signing, until(3000))
	}},
	{name: "shortened", signed: "2021-06-01", err: "had expired when it signed, on 2020-10-27", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing, until(3000)).certify("a", packet.SigTypePositiveCert, "2020-02-01", signing, until(300))
	}},
	{name: "expired since", signed: "2021-06-01", now: "expired on 2021-12-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing, until(700))
	}},
	{name: "expired when it signed", signed: "2021-06-01", err: "had expired when it signed", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing, until(300))
	}},
	{name: "renewed by somebody else", signed: "2021-06-01", now: "expired on", make: func(t *testing.T) *made {
		m, other := makeKey(t, "2020-01-01").user("a", "2020-01-01", signing, until(700)), makeKey(t, "2020-01-01")
		forged := other.says(packet.SigTypePositiveCert, "2022-01-01", []option{signing})
		forged.IssuerKeyId, forged.IssuerFingerprint = &m.primary.KeyId, m.primary.Fingerprint
		m.must(forged.SignUserId("a", &m.primary.PublicKey, other.primary, nil))
		return m.write(forged)
	}},
	{name: "a direct signature that says who may revoke", signed: "2021-06-01", now: "expired on 2021-12-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").direct("2020-01-01").user("a", "2020-01-01", signing, until(700))
	}},
	{name: "a direct signature alone", signed: "2021-06-01", now: "expired on 2021-12-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").direct("2020-01-01", signing, until(700)).user("a", "2020-01-01")
	}},
	{name: "two names, one of them renewed", signed: "2021-06-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing, until(700)).user("b", "2022-01-01", signing, until(3000))
	}},
	{name: "a name is revoked, another is not", signed: "2021-06-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).certify("a", packet.SigTypeCertificationRevocation, "2020-02-01").user("b", "2020-01-01", signing)
	}},
	{name: "all names are revoked", signed: "2021-06-01", err: "no signature of its own that holds", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).certify("a", packet.SigTypeCertificationRevocation, "2020-02-01")
	}, gpgDiffers: "it calls the signature good and the name revoked"},
	{name: "no signature of its own", signed: "2021-06-01", err: "no signature of its own that holds", make: func(t *testing.T) *made { return makeKey(t, "2020-01-01").name("a") }},
	{name: "no flags", signed: "2021-06-01", make: func(t *testing.T) *made { return makeKey(t, "2020-01-01").user("a", "2020-01-01") }},
	{name: "for encryption", signed: "2021-06-01", err: "not one for signing", make: func(t *testing.T) *made { return makeKey(t, "2020-01-01").user("a", "2020-01-01", encrypting) }},
	{name: "older than its key", signed: "2019-06-01", err: "is older than its key", make: func(t *testing.T) *made { return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing) }},

	{name: "revoked without a reason", signed: "2021-06-01", err: "no reason is given", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").revoke("2023-01-01").user("a", "2020-01-01", signing)
	}},
	{name: "revoked with no reason as reason", signed: "2021-06-01", err: "no reason is given", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").revoke("2023-01-01", because(packet.NoReason)).user("a", "2020-01-01", signing)
	}},
	{name: "compromised", signed: "2021-06-01", err: "somebody else may have it", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").revoke("2023-01-01", because(packet.KeyCompromised)).user("a", "2020-01-01", signing)
	}},
	{name: "compromised, and renewed after that", signed: "2021-06-01", err: "somebody else may have it", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").revoke("2021-01-01", because(packet.KeyCompromised)).user("a", "2022-01-01", signing)
	}},
	{name: "replaced since", signed: "2021-06-01", now: "was revoked on 2023-01-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").revoke("2023-01-01", because(packet.KeySuperseded)).user("a", "2020-01-01", signing)
	}},
	{name: "given up before", signed: "2021-06-01", err: "had been revoked when it signed, on 2021-01-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").revoke("2021-01-01", because(packet.KeyRetired)).user("a", "2020-01-01", signing)
	}},
	{name: "revoked by somebody else", signed: "2021-06-01", make: func(t *testing.T) *made {
		m, other := makeKey(t, "2020-01-01"), makeKey(t, "2020-01-01")
		forged := other.says(packet.SigTypeKeyRevocation, "2022-01-01", nil)
		forged.IssuerKeyId, forged.IssuerFingerprint = &m.primary.KeyId, m.primary.Fingerprint
		m.must(forged.RevokeKey(&m.primary.PublicKey, other.primary, nil))
		return m.write(forged).user("a", "2020-01-01", signing)
	}},

	{name: "subkey", signed: "2021-06-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).subkey("2020-01-01").bind("2020-01-01", true, signing)
	}},
	{name: "subkey renewed after it signed", signed: "2021-06-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).subkey("2020-01-01").bind("2020-01-01", true, signing, until(600)).bind("2022-01-01", true, signing, until(3000))
	}},
	{name: "subkey and primary key renewed", signed: "2021-06-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2022-01-01", signing, until(3000)).subkey("2020-01-01").bind("2022-01-01", true, signing, until(3000))
	}},
	{name: "subkey expired since", signed: "2021-06-01", now: "expired on 2021-12-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).subkey("2020-01-01").bind("2020-01-01", true, signing, until(700))
	}},
	{name: "subkey expired when it signed", signed: "2021-06-01", err: "had expired when it signed", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).subkey("2020-01-01").bind("2020-01-01", true, signing, until(300))
	}},
	{name: "primary key of a subkey expired since", signed: "2021-06-01", now: "expired on 2021-12-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing, until(700)).subkey("2020-01-01").bind("2020-01-01", true, signing, until(3000))
	}},
	{name: "subkey revoked without a reason", signed: "2021-06-01", err: "no reason is given", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).subkey("2020-01-01").bind("2020-01-01", true, signing).revokeSubkey("2023-01-01")
	}},
	{name: "subkey replaced since", signed: "2021-06-01", now: "was revoked on 2023-01-01", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).subkey("2020-01-01").bind("2020-01-01", true, signing).revokeSubkey("2023-01-01", because(packet.KeySuperseded))
	}},
	{name: "primary key of a subkey compromised", signed: "2021-06-01", err: "somebody else may have it", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").revoke("2023-01-01", because(packet.KeyCompromised)).user("a", "2020-01-01", signing).subkey("2020-01-01").bind("2020-01-01", true, signing)
	}},
	{name: "subkey that has not signed to belong to the key", signed: "2021-06-01", err: "not one for signing", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).subkey("2020-01-01").bind("2020-01-01", false, signing)
	}},
	{name: "subkey for encryption", signed: "2021-06-01", err: "not one for signing", make: func(t *testing.T) *made {
		return makeKey(t, "2020-01-01").user("a", "2020-01-01", signing).subkey("2020-01-01").bind("2020-01-01", true, encrypting)
	}},
}

// What counts is a key's newest signature on itself: for the time at which it
// signed, and for now where that is asked. gpg says the same about now.
func TestValidity(t *testing.T) {
	t.Parallel()
	const text = "some text\n"
	now := day("2024-01-01")
	for _, tt := range validity {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := tt.make(t)
			sig := m.sign(text, tt.signed)
			keys, err := ReadKeys(m.out.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			signer, err := keys.Verify(sig, func() io.Reader { return strings.NewReader(text) })
			problem := ""
			if err == nil {
				if err := signer.CheckNow(now); err != nil {
					problem = err.Error()
				}
			}
			switch {
			case tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Fatalf("got %v, want %q", err, tt.err)
			case (tt.now == "") != (problem == "") || !strings.Contains(problem, tt.now):
				t.Fatalf("now: got %q, want %q", problem, tt.now)
			}
			if again, err := ReadKeys(keys.Armor()); err != nil || !bytes.Equal(again.Packets(), m.out.Bytes()) {
				t.Errorf("the normal form has other packets: %v", err)
			}
			if same := gpgSays(t, m.out.Bytes(), sig, text, now) == (err == nil && problem == ""); same != (tt.gpgDiffers == "") {
				t.Errorf("gpg says the same: %v (%s); ours is %v, %s", same, tt.gpgDiffers, err, problem)
			}
		})
	}
}

// Of two copies of a key the one has the renewal or the revocation that the
// other lacks.
func TestMergedCopies(t *testing.T) {
	t.Parallel()
	const text = "some text\n"
	m := makeKey(t, "2020-01-01").user("a", "2020-01-01", signing, until(300))
	sig, old := m.sign(text, "2021-06-01"), bytes.Clone(m.out.Bytes())
	renewed := bytes.Clone(m.certify("a", packet.SigTypePositiveCert, "2022-01-01", signing, until(3000)).out.Bytes())
	m.out.Reset()
	revoked := m.write(&m.primary.PublicKey).revoke("2023-01-01").out.Bytes()
	for _, tt := range []struct {
		name   string
		copies [][]byte
		err    string
	}{
		{"old", [][]byte{old}, "had expired"},
		{"old and renewed", [][]byte{old, renewed}, ""},
		{"renewed and old", [][]byte{renewed, old}, ""},
		{"renewed and revoked", [][]byte{renewed, revoked}, "is revoked"},
	} {
		one, err := ReadKeys(bytes.Join(tt.copies, nil))
		if err != nil {
			t.Fatal(err)
		}
		var sets []*Keys
		for _, c := range tt.copies {
			k, err := ReadKeys(c)
			if err != nil {
				t.Fatal(err)
			}
			sets = append(sets, k)
		}
		for how, keys := range map[string]*Keys{"in one text": one, "merged": Merge(sets...)} {
			if keys.Len() != 1 {
				t.Errorf("%s, %s: %d keys", tt.name, how, keys.Len())
			}
			_, err := keys.Verify(sig, func() io.Reader { return strings.NewReader(text) })
			if (tt.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s, %s: got %v, want %q", tt.name, how, err, tt.err)
			}
		}
	}
}

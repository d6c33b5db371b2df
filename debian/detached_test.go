package debian

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// detach signs a text as Release.gpg does: of kind binary or text, armored or not.
func detach(t testing.TB, do func(*bytes.Buffer, *packet.Config) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := do(&out, &packet.Config{Time: func() time.Time { return signTime }}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func armoredSignature(t testing.TB, text string, key *openpgp.Entity) []byte {
	t.Helper()
	return detach(t, func(out *bytes.Buffer, c *packet.Config) error {
		return openpgp.ArmoredDetachSign(out, key, strings.NewReader(text), c)
	})
}

func TestParseSignedRelease(t *testing.T) {
	t.Parallel()
	good, other := newKey(t, 0), newKey(t, 0)
	text := testRelease("")
	binary := detach(t, func(out *bytes.Buffer, c *packet.Config) error {
		return openpgp.DetachSign(out, good, strings.NewReader(text), c)
	})
	ofText := detach(t, func(out *bytes.Buffer, c *packet.Config) error {
		return openpgp.ArmoredDetachSignText(out, good, strings.NewReader(text), c)
	})
	for _, tt := range []struct {
		name            string
		text            string
		signature, keys []byte
		want            string
	}{
		{"armored", text, armoredSignature(t, text, good), armored(t, good), ""},
		{"binary", text, binary, armored(t, good), ""},
		{"of a text", text, ofText, armored(t, good), ""},
		{"unknown key", text, armoredSignature(t, text, other), armored(t, good), "the keyring has no such key; give the repository's public key"},
		{"changed", strings.Replace(text, "trixie", "evilix", 1), armoredSignature(t, text, good), armored(t, good), "was changed after it was signed"},
		{"no signature", text, []byte("<html>"), armored(t, good), "the signature is damaged"},
		{"empty signature", text, nil, armored(t, good), "Release"},
		{"a large one", text, make([]byte, MaxSignature+1), armored(t, good), "larger than 1 MiB"},
		{"no release file", "hello", armoredSignature(t, "hello", good), armored(t, good), "the Release file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rel, err := ParseSignedRelease([]byte(tt.text), tt.signature, tt.keys)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if rel.Codename != "trixie" || rel.SignedBy == "" || string(rel.Text) != text {
				t.Errorf("%+v", rel)
			}
		})
	}
}

// A key that was given up since signs nothing that is not pinned, as with an
// InRelease.
func TestSignedByReplacedKey(t *testing.T) {
	t.Parallel()
	key := newKey(t, 0)
	text := testRelease("")
	signature := armoredSignature(t, text, key)
	when := signTime.AddDate(0, 3, 0)
	if err := key.RevokeKey(packet.KeySuperseded, "", &packet.Config{Time: func() time.Time { return when }}); err != nil {
		t.Fatal(err)
	}
	rel, err := ParseSignedRelease([]byte(text), signature, armored(t, key))
	if err != nil {
		t.Fatal(err)
	}
	late := signTime.AddDate(1, 0, 0)
	if err := rel.CheckValid(late, false); err == nil || !strings.Contains(err.Error(), "was revoked on") {
		t.Errorf("got %v", err)
	}
	if err := rel.CheckValid(late, true); err != nil {
		t.Errorf("pinned: %v", err)
	}
}

func FuzzParseSignedRelease(f *testing.F) {
	key := newKey(f, 0)
	ring := armored(f, key)
	text := testRelease("")
	f.Add([]byte(text), armoredSignature(f, text, key))
	f.Add([]byte(text), []byte("-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----"))
	f.Fuzz(func(t *testing.T, data, signature []byte) {
		rel, err := ParseSignedRelease(data, signature, ring)
		// A signature of a text knows line ends in one form only.
		plain := strings.ReplaceAll(string(data), "\r\n", "\n")
		if err == nil && (rel.SignedBy == "" || plain != text) {
			t.Errorf("%q counts as signed", data)
		}
	})
}

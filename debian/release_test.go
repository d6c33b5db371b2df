package debian

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

var signTime = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

// newKey makes a key that was made a year before signTime and lives for the
// given number of seconds, or for ever.
func newKey(t testing.TB, lifetime uint32) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Test Archive", "", "test@example.org", &packet.Config{
		Time:            func() time.Time { return signTime.AddDate(-1, 0, 0) },
		KeyLifetimeSecs: lifetime,
		Algorithm:       packet.PubKeyAlgoEdDSA,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func armored(t testing.TB, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, k := range keys {
		w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Serialize(w); err != nil {
			t.Fatal(err)
		}
		w.Close()
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func sign(t testing.TB, text string, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.PrivateKey)
	}
	var out bytes.Buffer
	w, err := clearsign.EncodeMulti(&out, private, &packet.Config{Time: func() time.Time { return signTime }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sum(n int) string { return fmt.Sprintf("%064x", n) }

func testRelease(extra string) string {
	return "Origin: Debian\nLabel: Debian\nSuite: stable\nCodename: trixie\n" + extra +
		"Date: Sat, 31 May 2025 08:00:00 UTC\nArchitectures: all amd64 arm64\nComponents: main contrib\nSHA256:\n" +
		" " + sum(1) + " 100 main/binary-amd64/Packages\n" +
		" " + sum(2) + " 50 main/binary-amd64/Packages.gz\n" +
		" " + sum(3) + " 40 main/binary-amd64/Packages.xz\n" +
		" " + sum(4) + " 30 main/binary-all/Packages.gz\n" +
		" " + sum(5) + " 20 contrib/binary-amd64/Packages.gz\n"
}

func TestParseInRelease(t *testing.T) {
	t.Parallel()
	good, other := newKey(t, 0), newKey(t, 0)
	expired := newKey(t, 3600)
	shortly := newKey(t, uint32((366 * 24 * time.Hour).Seconds()))
	text := testRelease("")
	tests := []struct {
		name    string
		data    []byte
		keyring []byte
		want    string
	}{
		{"good", sign(t, text, good), armored(t, good), ""},
		{"one of two keys known", sign(t, text, other, good), armored(t, good), ""},
		{"two keys in the ring", sign(t, text, good), armored(t, other, good), ""},
		{"key has expired since", sign(t, text, shortly), armored(t, shortly), ""},
		{"unknown key", sign(t, text, other), armored(t, good), "the keyring has no such key"},
		{"not one of Debian's", sign(t, text, other), nil, "the keyring has no such key"},
		{"key had expired", sign(t, text, expired), armored(t, expired), "had expired when it signed"},
		{"text changed", bytes.Replace(sign(t, text, good), []byte("Codename: trixie"), []byte("Codename: evilix"), 1), armored(t, good), "was changed after it was signed"},
		{"not signed", []byte(text), armored(t, good), "not a clear-signed OpenPGP message"},
		{"a page of a proxy", []byte("<html>login</html>"), armored(t, good), "is the mirror's address right"},
		{"empty", nil, armored(t, good), "not a clear-signed"},
		{"keyring is no keyring", sign(t, text, good), []byte("hello"), "neither armored nor a binary"},
		{"keyring is damaged", sign(t, text, good), armored(t, good)[:120], "block 1 of the keyring"},
		{"no date", sign(t, strings.Replace(text, "Date:", "Datum:", 1), good), armored(t, good), "field Date"},
		{"bad path", sign(t, strings.Replace(text, "main/binary-all", "../binary-all", 1), good), armored(t, good), "not of the form"},
		{"bad size", sign(t, strings.Replace(text, " 30 ", " -30 ", 1), good), armored(t, good), "no valid size"},
		{"two stanzas", sign(t, text+"\nOrigin: x\n", good), armored(t, good), "2 stanzas"},
		{"no files", sign(t, "Date: Sat, 31 May 2025 08:00:00 UTC\n", good), armored(t, good), "lists no file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rel, err := ParseInRelease(tt.data, tt.keyring)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want one with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if rel.Codename != "trixie" || !strings.HasPrefix(string(rel.Text), "Origin: Debian") || len(rel.SignedBy) != 40 {
				t.Errorf("got %+v", rel)
			}
		})
	}
}

// A text that follows the signed message must not be taken for a part of it.
func TestParseInReleaseAppended(t *testing.T) {
	t.Parallel()
	key := newKey(t, 0)
	data := append([]byte("Codename: before\n"), sign(t, testRelease(""), key)...)
	data = append(data, []byte("\nCodename: after\n")...)
	rel, err := ParseInRelease(data, armored(t, key))
	if err == nil && rel.Codename != "trixie" {
		t.Errorf("took %q from outside the signed text", rel.Codename)
	}
}

func TestBinaryKeyring(t *testing.T) {
	t.Parallel()
	key := newKey(t, 0)
	var ring bytes.Buffer
	if err := key.Serialize(&ring); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseInRelease(sign(t, testRelease(""), key), ring.Bytes()); err != nil {
		t.Error(err)
	}
}

func TestCheckValid(t *testing.T) {
	t.Parallel()
	key := newKey(t, uint32((366 * 24 * time.Hour).Seconds()))
	rel, err := ParseInRelease(sign(t, testRelease("Valid-Until: Sat, 07 Jun 2025 08:00:00 UTC\n"), key), armored(t, key))
	if err != nil {
		t.Fatal(err)
	}
	if err := rel.CheckValid(signTime, false); err != nil {
		t.Error("in time:", err)
	}
	if err := rel.CheckValid(rel.Date.Add(-maxFuture), false); err != nil {
		t.Error("a clock that is a little slow:", err)
	}
	if err := rel.CheckValid(rel.Date.Add(-2*maxFuture), false); err == nil || !strings.Contains(err.Error(), "which is to come") {
		t.Error("of the future:", err)
	}
	late := signTime.AddDate(0, 0, 20)
	if err := rel.CheckValid(late, false); err == nil || !strings.Contains(err.Error(), "was valid until 2025-06-07") || !strings.Contains(err.Error(), "checksum") {
		t.Error("late:", err)
	}
	if err := rel.CheckValid(late, true); err != nil {
		t.Error("late but pinned:", err)
	}
	rel.ValidUntil = time.Time{}
	if err := rel.CheckValid(late, false); err == nil || !strings.Contains(err.Error(), "expired on 2025-06-02") {
		t.Error("expired key:", err)
	}
	if err := rel.CheckValid(late, true); err != nil {
		t.Error("expired key but pinned:", err)
	}
}

// A genuine release file is that of one suite only.
func TestCheckSuite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		suite, codename, asked string
		pinned, good           bool
	}{
		{"stable", "trixie", "trixie", false, true}, {"stable", "trixie", "stable", false, true},
		{"stable", "trixie", "trixie-security", false, false}, {"stable", "trixie", "trixie-updates", false, false},
		{"stable", "trixie", "bookworm", false, false}, {"stable", "trixie", "bookworm", true, true},
		{"stable-security", "trixie-security", "trixie-security", false, true}, {"oldstable-security", "bookworm-security", "trixie-security", false, false},
		{"stable-backports", "trixie-backports", "trixie-backports", false, true}, {"stable-backports", "trixie-backports", "trixie", false, false},
		{"noble-updates", "noble", "noble-updates", false, true}, {"noble", "noble", "noble-security", false, false},
		{"oldoldstable", "buster", "buster/updates", false, true}, {"oldoldstable", "stretch", "buster/updates", false, false},
		{"unstable", "sid", "sid", false, true}, {"", "", "x", false, true}, {"", "x", "y", false, false},
		{"stable", "trixie", "./", false, true}, {"stable", "trixie", "sub/", false, true}, {"", "x", "/x", false, true},
	} {
		r := &Release{Suite: tt.suite, Codename: tt.codename}
		if err := r.CheckSuite(tt.asked, tt.pinned); (err == nil) != tt.good {
			t.Errorf("%q (%q) for %q: %v", tt.suite, tt.codename, tt.asked, err)
		}
	}
}

func TestPackagesIndexes(t *testing.T) {
	t.Parallel()
	key := newKey(t, 0)
	parse := func(extra string) *Release {
		rel, err := ParseInRelease(sign(t, testRelease(extra), key), armored(t, key))
		if err != nil {
			t.Fatal(err)
		}
		return rel
	}
	tests := []struct {
		name, extra string
		components  []string
		arch        string
		want        string
		err         string
	}{
		{"best compression, and all", "", []string{"main"}, "amd64", "main/binary-amd64/Packages.xz main/binary-all/Packages.gz", ""},
		{"all is in each", "No-Support-for-Architecture-all: Packages\n", []string{"main", "contrib"}, "amd64", "main/binary-amd64/Packages.xz contrib/binary-amd64/Packages.gz", ""},
		{"unknown component", "", []string{"main", "nonfree"}, "amd64", "", `no component "nonfree" for amd64; it has: main contrib`},
		{"unknown architecture", "", []string{"main"}, "sparc", "", `no architecture "sparc"; it has: all amd64 arm64`},
		{"hostile component", "", []string{"../../etc"}, "amd64", "", "no component"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files, err := parse(tt.extra).PackagesIndexes(tt.components, tt.arch)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range files {
				got = append(got, f.Path)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %s, want %s", s, tt.want)
			}
		})
	}
	files, err := parse("Acquire-By-Hash: yes\n").PackagesIndexes([]string{"main"}, "amd64")
	if err != nil || files[0].ByHashPath != "main/binary-amd64/by-hash/SHA256/"+sum(3) || files[0].Size != 40 || files[0].SHA256 != sum(3) {
		t.Errorf("got %+v, %v", files, err)
	}
}

// The fingerprints in the readme are those of the keys that are embedded.
func TestDefaultKeyring(t *testing.T) {
	t.Parallel()
	keys, err := readKeyring(nil)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("keyring/README.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.ReplaceAll(string(readme), " ", "")
	if keys.Len() != 6 {
		t.Errorf("%d keys instead of 6", keys.Len())
	}
	for _, k := range keys.List() {
		if fp := strings.ToUpper(k.Fingerprint); !strings.Contains(listed, fp) {
			t.Errorf("the readme does not list %s", fp)
		}
		if exp := k.Expires.Format(time.DateOnly); !strings.Contains(listed, exp) {
			t.Errorf("the readme does not list %s, when %s expires", exp, k.Fingerprint)
		}
	}
}

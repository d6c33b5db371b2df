package pgp

import (
	"bytes"
	"crypto"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

var endOfLine = regexp.MustCompile(`\n`)

// forms are the forms in which people have a key, made of its normal form.
// Programs says which of gpg and an rpm that reads armor itself take it too.
var forms = []struct {
	name  string
	of    func(normal string) string
	tools string
}{
	{"normal", func(s string) string { return s }, "gpg rpm"},
	{"with headers", func(s string) string {
		return strings.Replace(s, "\n\n", "\nVersion: GnuPG v1.4.11 (GNU/Linux)\nComment: see https://example.org/keys\n\n", 1)
	}, "gpg"},
	{"with line ends of Windows", func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }, "gpg rpm"},
	{"with line ends of old Macs", func(s string) string { return strings.ReplaceAll(s, "\n", "\r") }, ""},
	{"blanks in the empty line", func(s string) string { return strings.Replace(s, "\n\n", "\n \t \n", 1) }, "gpg"},
	{"no empty line", func(s string) string { return strings.Replace(s, "\n\n", "\n", 1) }, ""},
	{"more empty lines", func(s string) string { return strings.Replace(s, "\n\n", "\n\n\n\n", 1) }, "gpg rpm"},
	{"blanks at the ends", func(s string) string { return endOfLine.ReplaceAllString(s, "  \n") }, ""},
	{"indented", func(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }, ""},
	{"indented with tabs", func(s string) string { return "\t" + strings.ReplaceAll(s, "\n", "\n\t") }, ""},
	{"lines of 76 letters", func(s string) string { return rewrap(s, 76) }, "gpg rpm"},
	{"lines of 97 letters", func(s string) string { return rewrap(s, 97) }, "gpg rpm"},
	{"lines of 5000 letters", func(s string) string { return rewrap(s, 5000) }, "gpg rpm"},
	{"in one line", func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", " ") }, ""},
	{"in one line with a header", func(s string) string {
		return strings.ReplaceAll(strings.TrimSpace(strings.Replace(s, "\n\n", "\nVersion: GnuPG v2\n\n", 1)), "\n", " ")
	}, ""},
	{"in one line without blanks", func(s string) string { return strings.ReplaceAll(s, "\n", "") }, ""},
	{"words around it", func(s string) string {
		return "pub   rsa2048 2024-06-01\nThis is -----BEGIN PGP PUBLIC KEY BLOCK----- and so on\n\n" + s + "\nIt was -----BEGIN PGP\n"
	}, ""},
	{"after another block", func(s string) string {
		return "-----BEGIN PGP SIGNATURE-----\n\naGVsbG8=\n-----END PGP SIGNATURE-----\n" + s
	}, ""},
	{"after a mark of byte order", func(s string) string { return "\ufeff" + s }, ""},
	{"no checksum", func(s string) string { return regexp.MustCompile(`(?m)^=....\n`).ReplaceAllString(s, "") }, "gpg"},
	{"no checksum and no filling", func(s string) string {
		return regexp.MustCompile(`(?m)=*\n=....\n`).ReplaceAllString(s, "\n")
	}, ""},
	{"checksum in the last line", func(s string) string { return regexp.MustCompile(`\n(=....\n)`).ReplaceAllString(s, "$1") }, ""},
	{"no line end at the end", strings.TrimSpace, "gpg rpm"},
	{"twice", func(s string) string { return s + "\n" + s }, "gpg rpm"},
}

// rewrap writes the base64 of a block in lines of another length.
func rewrap(s string, n int) string {
	begin, rest, _ := strings.Cut(s, "\n\n")
	body, end, _ := strings.Cut(rest, "\n=")
	body = strings.ReplaceAll(body, "\n", "")
	var out strings.Builder
	for len(body) > n {
		out.WriteString(body[:n] + "\n")
		body = body[n:]
	}
	return begin + "\n\n" + out.String() + body + "\n=" + end
}

// What gpg and rpm read is read, and written in one normal form.
func TestArmorForms(t *testing.T) {
	t.Parallel()
	want := public(t, rsaKey())
	normal := string(want.Armor())
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			text := f.of(normal)
			keys, err := ReadKeys([]byte(text))
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if !bytes.Equal(keys.Armor(), want.Armor()) {
				t.Error("the key is another one")
			}
			for _, tool := range []string{"gpg", "rpm"} {
				if reads, ok := toolReads(t, tool, text); ok && reads && !strings.Contains(f.tools, tool) {
					t.Logf("%s reads it, too", tool)
				} else if ok && !reads && strings.Contains(f.tools, tool) {
					t.Errorf("%s does not read it", tool)
				}
			}
		})
	}
}

// toolReads says whether a program takes a text as a key, and whether it is
// there to be asked.
func toolReads(t *testing.T, tool, text string) (reads, ok bool) {
	t.Helper()
	name := map[string]string{"gpg": "gpg", "rpm": "rpmkeys"}[tool]
	if _, err := exec.LookPath(name); err != nil {
		return false, false
	}
	home := t.TempDir()
	file := filepath.Join(home, "key")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := map[string][]string{
		"gpg": {"--homedir", home, "--batch", "--no-tty", "--no-autostart", "--status-fd", "1", "--import", file},
		"rpm": {"--dbpath", filepath.Join(home, "db"), "--import", file},
	}[tool]
	out, err := exec.Command(name, args...).CombinedOutput()
	if tool == "gpg" {
		return strings.Contains(string(out), "IMPORT_OK"), true
	}
	return err == nil, true
}

// Every program takes the normal form.
func TestNormalForm(t *testing.T) {
	t.Parallel()
	for _, e := range []*Keys{public(t, rsaKey()), public(t, newKey(t, packet.PubKeyAlgoEdDSA, 0, 0))} {
		text := string(e.Armor())
		for line := range strings.Lines(text) {
			if len(line) > 65 {
				t.Errorf("a line of %d letters", len(line))
			}
		}
		for _, tool := range []string{"gpg", "rpm"} {
			if reads, ok := toolReads(t, tool, text); ok && !reads {
				t.Errorf("%s does not read it", tool)
			}
		}
	}
}

func TestArmorErrors(t *testing.T) {
	t.Parallel()
	normal := string(public(t, rsaKey()).Armor())
	sum := regexp.MustCompile(`(?m)^=....$`)
	for _, tt := range []struct{ name, text, want string }{
		{"wrong checksum", sum.ReplaceAllString(normal, "=AAAA"), "block 1 of the keyring: it is damaged"},
		{"checksum that is none", sum.ReplaceAllString(normal, "=A:AA"), "block 1 of the keyring"},
		{"short checksum", sum.ReplaceAllString(normal, "=AAA"), "does not end as"},
		{"other letters", strings.Replace(normal, "\n\n", "\n\n!", 1), "no base64"},
		{"no end", normal[:len(normal)-40], `the line "-----END PGP PUBLIC KEY BLOCK-----" is missing`},
		{"second is damaged", normal + sum.ReplaceAllString(normal, "=AAAA"), "block 2 of the keyring: it is damaged"},
		{"many blocks", strings.Repeat("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n", maxBlocks+1), "more than 1000 armored blocks"},
		{"another kind", strings.ReplaceAll(normal, "PUBLIC KEY BLOCK", "MESSAGE"), "holds no key"},
		{"cut off inside", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENBGZa\n-----END PGP PUBLIC KEY BLOCK-----", "block 1 of the keyring: a packet is cut off"},
	} {
		if _, err := ReadKeys([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Private packets are found in a public block and in binary, too.
func TestPrivateKeys(t *testing.T) {
	t.Parallel()
	var raw, text bytes.Buffer
	if err := newKey(t, packet.PubKeyAlgoEdDSA, 0, 0).SerializePrivate(&raw, nil); err != nil {
		t.Fatal(err)
	}
	encodeArmor(&text, publicKeyBlock, raw.Bytes())
	for name, data := range map[string][]byte{"binary": raw.Bytes(), "armored": text.Bytes()} {
		if _, err := ReadKeys(data); err == nil || !strings.Contains(err.Error(), "private key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Notes of a program and other packets are no part of a key.
func TestForeignPackets(t *testing.T) {
	t.Parallel()
	raw := exported(t, rsaKey())
	packets, err := readPackets(raw)
	if err != nil {
		t.Fatal(err)
	}
	var with []byte
	for _, p := range packets {
		with = append(with, p.raw...)
		with = append(with, 0xc0|tagTrust, 2, 0, 3, 0xc0|tagMarker, 3, 'P', 'G', 'P', 0xc0|tagPadding, 1, 0)
	}
	keys, err := ReadKeys(with)
	if err != nil || !bytes.Equal(keys.Packets(), raw) {
		t.Error(err)
	}
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"begins with a name": {slices.Concat(packets[1].raw, raw), "begins with a packet of kind 13"},
		"many":               {bytes.Repeat([]byte{0xc0 | tagMarker, 0}, maxPackets+1), "more than 50000 packets"},
		"many keys":          {bytes.Repeat(packets[0].raw, maxPublicKeys+1), "more than 2000 keys"},
		"of no length":       {append([]byte{0x80 | 6<<2 | 3}, raw[3:]...), "does not say its length"},
		"in pieces":          {append([]byte{0xc6, 0xe1}, raw[3:]...), "does not say its length"},
		"of 1997":            {[]byte{0x99, 0, 12, 3, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1}, "of version 3"},
	} {
		if _, err := ReadKeys(tt.data); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// A file may have several armored signatures, one after the other.
func TestDearmor(t *testing.T) {
	t.Parallel()
	one, two := newKey(t, packet.PubKeyAlgoEdDSA, 0, 0), newKey(t, packet.PubKeyAlgoEdDSA, 0, 0)
	var text bytes.Buffer
	encodeArmor(&text, signatureBlock, sign(t, "x", crypto.SHA256, packet.SigTypeBinary, one))
	encodeArmor(&text, signatureBlock, sign(t, "x", crypto.SHA256, packet.SigTypeBinary, two))
	sigs, err := Dearmor(text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := public(t, two).Verify(sigs, func() io.Reader { return strings.NewReader("x") }); err != nil {
		t.Error(err)
	}
	if _, err := Dearmor(public(t, one).Armor()); err == nil || !strings.Contains(err.Error(), "no signature") {
		t.Errorf("got %v", err)
	}
}

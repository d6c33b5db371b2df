package ostree

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVariants compares with what GLib makes of the same values.
func TestVariants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		got  []byte
		want string
	}{
		{"an empty directory", dirTree(nil, nil), "00"},
		{"two texts", tuple(text("a"), text("bc")), "6100" + "626300" + "02"},
		{"a number after a text", tuple(text("a"), number(1), bytesOf(nil)), "6100" + "0000" + "00000001" + "02"},
		{"an array", array(1, []byte("a\x00"), []byte("\x00")).data, "6100" + "00" + "0203"},
		{"a variant", variant(text("v"), "s").data, "7600" + "00" + "73"},
		{"a directory's metadata", Meta{UID: 1, GID: 2, Mode: 0o40755}.dirMeta(), "00000001" + "00000002" + "000041ed"},
		{"with an attribute", Meta{Mode: 1, Attributes: []Attribute{{"a", []byte("v")}}}.dirMeta(), "00000000" + "00000000" + "00000001" + "6100" + "76" + "02" + "04"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
	// Offsets grow with what they have to reach.
	for n, size := range map[int]int{253: 1, 254: 2, 65000: 2, 66000: 4} {
		long := tuple(bytesOf(make([]byte, n)), bytesOf([]byte{7}))
		if len(long) != n+1+size {
			t.Errorf("%d bytes become %d", n, len(long))
		}
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	digits := strings.Repeat("0a", 32)
	if c, ok := ParseChecksum(digits); !ok || c.String() != digits {
		t.Error(c, ok)
	}
	for _, s := range []string{"", digits[1:], strings.ToUpper(digits), digits + "00", strings.Repeat("zz", 32)} {
		if _, ok := ParseChecksum(s); ok {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestRepoErrors(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "repo")
	r, err := Create(t.Context(), dir, Meta{Mode: 0o40755})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(t.Context(), dir, Meta{}); err == nil {
		t.Error("a repository is made twice")
	}
	for _, name := range []string{"", ".", "..", "a/b", "a\x00"} {
		if _, err := r.Root().Dir(name, Meta{}); err == nil {
			t.Errorf("the directory %q is taken", name)
		}
		if err := r.Symlink(r.Root(), name, "x", Meta{}); err == nil {
			t.Errorf("the link %q is taken", name)
		}
		if err := r.File(r.Root(), name, Meta{}, io.NopCloser(bytes.NewReader(nil)), 0); err == nil {
			t.Errorf("the file %q is taken", name)
		}
	}
	if err := r.File(r.Root(), "short", Meta{}, io.NopCloser(strings.NewReader("abc")), 5); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Commit(Commit{Refs: []string{"a"}}); err == nil || !strings.Contains(err.Error(), "short: it has 2 bytes less") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "refs/heads/a")); err == nil {
		t.Error("there is a reference to a commit that failed")
	}
}

package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is a ledger with all that has to be written in a special way.
func sample(t testing.TB) *Ledger {
	t.Helper()
	l := &Ledger{}
	for _, e := range []struct{ path, name, value string }{
		{"/etc/shadow", "user.note", "two words"},
		{"etc//shadow", Label, "system_u:object_r:shadow_t:s0\x00"},
		{".", Label, "root"},
		{"/etc-x", "user.a", ""},
		{"/etc/\xff\n 100%", "user.é", "\x00\x01\xfe"},
		{"/var/log/journal", AccessACL, "\x02\x00\x00\x00"},
		{"/var/log/journal", DefaultACL, "\x02\x00\x00\x00"},
	} {
		if err := l.Set(e.path, e.name, []byte(e.value)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

const sampleText = `osbuildkit ledger 1
/
 security.selinux root
/etc-x
 user.a 
/etc/shadow
 security.selinux system_u:object_r:shadow_t:s0%00
 user.note two%20words
/etc/%FF%0A%20100%25
 user.%C3%A9 %00%01%FE
/var/log/journal
 system.posix_acl_access %02%00%00%00
 system.posix_acl_default %02%00%00%00
`

func TestText(t *testing.T) {
	t.Parallel()
	l := sample(t)
	text, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sampleText, string(text)); d != "" {
		t.Error(d)
	}
	back, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(l.files, back.files); d != "" {
		t.Error(d)
	}
	if got := back.Lookup("etc/shadow")["user.note"]; string(got) != "two words" {
		t.Errorf("%q", got)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"/a\n":                           "has no attribute",
		"/a\n/b\n user.a x\n":            "line 3: the path before has no attribute",
		"/a\n user.a x":                  "line 3: the last line is cut off",
		" user.a x\n":                    "not of the form",
		"/a\n user.a\n":                  "not of the form",
		"/a\n user.a x y\n":              "not escaped",
		"/a\n user.a %2f\n":              "not escaped",
		"/a\n user.a %41\n":              "not escaped",
		"/a\n user.a %0\n":               "not escaped",
		"/a\n user.a \xff\n":             "not escaped",
		"/a\r\n user.a x\n":              "not escaped",
		"a\n user.a x\n":                 "not absolute and clean",
		"/a/../b\n user.a x\n":           "not absolute and clean",
		"/a/\n user.a x\n":               "not absolute and clean",
		"\n user.a x\n":                  "not absolute and clean",
		"/b\n user.a x\n/a\n user.a x\n": "the paths are not sorted",
		"/a\n user.a x\n/a\n user.b x\n": "the paths are not sorted",
		"/a\n user.b x\n user.a x\n":     "the attributes are not sorted",
		"/a\n user.a x\n user.a x\n":     "the attributes are not sorted",
		"/a\n security.capability x\n":   "does not belong into a ledger",
		"/a\n system.data x\n":           "does not belong into a ledger",
		"/a\n user. x\n":                 "does not belong into a ledger",
		"/a%00\n user.a x\n":             "NUL",
		"/" + strings.Repeat("x", maxPath) + "\n user.a x\n":    "longer than 4096",
		"/a\n user." + strings.Repeat("x", maxName) + " x\n":    "longer than 255",
		"/a\n user.a " + strings.Repeat("x", maxValue+1) + "\n": "longer than 64 KiB",
	} {
		if _, err := Decode([]byte(header + body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: error %v, want one with %q", body, err, want)
		}
	}
	for _, text := range []string{"", "osbuildkit ledger 2\n", "osbuildkit ledger 1"} {
		if _, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), "no ledger of a kind that is known here") {
			t.Errorf("%q: %v", text, err)
		}
	}
	many := header + "/a\n"
	for i := range maxAttributes + 1 {
		many += " user.a" + string(rune('0'+i/100)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10)) + " x\n"
	}
	if _, err := Decode([]byte(many)); err == nil || !strings.Contains(err.Error(), "more than 256 extended attributes") {
		t.Error(err)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Ledger) error
		want   []string
		err    string
	}{
		{"nothing", func(*Ledger) error { return nil }, []string{"/a", "/a/b", "/a/b/c", "/ab"}, ""},
		{"remove a tree", func(l *Ledger) error { l.Remove("a/"); return nil }, []string{"/ab"}, ""},
		{"remove a leaf", func(l *Ledger) error { l.Remove("/a/b/c"); return nil }, []string{"/a", "/a/b", "/ab"}, ""},
		{"remove all", func(l *Ledger) error { l.Remove("/"); return nil }, nil, ""},
		{"unset", func(l *Ledger) error {
			l.Unset("/a", "user.x")
			l.Unset("/none", "user.x")
			l.Unset("/ab", "user.y")
			return nil
		}, []string{"/a/b", "/a/b/c", "/ab"}, ""},
		{"rename", func(l *Ledger) error { return l.Rename("/a/b", "/z") }, []string{"/a", "/ab", "/z", "/z/c"}, ""},
		{"rename over", func(l *Ledger) error { return l.Rename("/ab", "/a") }, []string{"/a"}, ""},
		{"rename nothing", func(l *Ledger) error { return l.Rename("/none", "/a/b") }, []string{"/a", "/ab"}, ""},
		{"rename to itself", func(l *Ledger) error { return l.Rename("/a", "a/") }, []string{"/a", "/a/b", "/a/b/c", "/ab"}, ""},
		{"rename below", func(l *Ledger) error { return l.Rename("/a", "/a/b") }, []string{"/a", "/a/b", "/a/b/c", "/ab"}, "within"},
		{"rename too long", func(l *Ledger) error { return l.Rename("/a", "/"+strings.Repeat("x", maxPath-2)) }, []string{"/a", "/a/b", "/a/b/c", "/ab"}, "too long"},
	} {
		l := &Ledger{}
		for _, p := range []string{"/a", "/a/b", "/a/b/c", "/ab"} {
			if err := l.Set(p, "user.x", []byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		err := tt.change(l)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if d := cmp.Diff(tt.want, l.Paths()); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	dir, when := t.TempDir(), time.Unix(1_600_000_000, 0)
	name := filepath.Join(dir, FileName)
	l, err := Load(dir)
	if err != nil || l.Len() != 0 {
		t.Fatal(l, err)
	}
	if err := l.Save(dir, when); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty ledger is a file: %v", err)
	}
	for range 2 {
		if err := sample(t).Save(dir, when); err != nil {
			t.Fatal(err)
		}
		st, err := os.Lstat(name)
		if err != nil || !st.ModTime().Equal(when) || st.Mode() != 0o644 {
			t.Fatal(st, err)
		}
		// The second time nothing is written.
		when = time.Unix(1_600_000_000, 0)
	}
	before, _ := os.Lstat(name)
	if err := Update(dir, time.Unix(7, 0), func(l *Ledger) error { return l.Set("/etc-x", "user.a", nil) }); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Lstat(name); !os.SameFile(before, after) || !after.ModTime().Equal(when) {
		t.Error("a change that changes nothing has touched the file")
	}
	if err := Update(dir, when, func(l *Ledger) error { l.Remove("/"); return nil }); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := os.Symlink("/etc/passwd", name); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a link: %v", err)
	}
	if l, err := Load(""); err != nil || l.Len() != 0 {
		t.Error(l, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(sampleText))
	f.Add([]byte(header))
	f.Add([]byte(header + "/a\n user.a %00\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Decode(data)
		if err != nil {
			return
		}
		// A ledger has one text only.
		out, err := l.Encode()
		if err != nil || !bytes.Equal(out, data) {
			t.Errorf("read %q, wrote %q (%v)", data, out, err)
		}
	})
}

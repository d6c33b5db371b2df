package redact

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"unicode"
)

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"GET https://u:hunter2@h/x: 404":               "GET https://u:xxxxx@h/x: 404",
		"https://ghp_hunter2@h/x and http://a:p@ss@h2": "https://xxxxx@h/x and http://a:xxxxx@h2",
		"https://h/x?a=1&X-Amz-Signature=hunter2&b=2":  "https://h/x?a=1&X-Amz-Signature=xxxxx&b=2",
		"https://h/?access_token=hunter2#f":            "https://h/?access_token=xxxxx#f",
		"https://h/x?page=1, mail a@b":                 "https://h/x?page=1, mail a@b",
		"https://h/a@b":                                "https://h/a@b",
		"no address, token=1":                          "no address, token=1",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if got := string(Mask([]rune(in))); strings.Contains(got, "hunter2") || len([]rune(got)) != len([]rune(in)) {
			t.Errorf("%q is masked as %q", in, got)
		}
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var l Log
	var got strings.Builder
	for _, piece := range []string{"a\x1b[2J\xc2", "\x9b1mé\xc3", "\xa9\tz\r\n", "\x07\x7f"} {
		got.Write(l.Next([]byte(piece)))
	}
	if want := "a\ufffd[2J\ufffd1méé\tz\r\n\ufffd\ufffd"; got.String() != want {
		t.Errorf("%q, want %q", got.String(), want)
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	err := Error(errors.Join(errors.New("https://u:hunter2@h"), fs.ErrExist))
	if strings.Contains(err.Error(), "hunter2") || !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
}

func FuzzShown(f *testing.F) {
	f.Add("https://u:p@h/?token=x\x1b[2J\u009b")
	f.Fuzz(func(t *testing.T, s string) {
		got := Shown(s)
		if Shown(got) != got {
			t.Errorf("%q is shown as %q, and that as %q", s, got, Shown(got))
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\n\r", r) }) {
			t.Errorf("%q is shown as %q", s, got)
		}
		if m := Mask([]rune(s)); len(m) != len([]rune(s)) {
			t.Errorf("%q is masked as %q", s, string(m))
		}
	})
}

func TestURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://u:secret@x/a?b": "https://u:xxxxx@x/a?b", "https://token@x/a": "https://xxxxx@x/a", "https://x/a?token=t": "https://x/a?token=xxxxx", "https://x//a b": "https://x//a b", ":": ":",
	} {
		if got := URL(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

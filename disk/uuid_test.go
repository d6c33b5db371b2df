package disk

import (
	"strings"
	"testing"
)

func TestParseUUID(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want string // empty: an error
	}{
		{"76a22bf4-f153-4541-b6c7-0332c0dfaeac", "76a22bf4-f153-4541-b6c7-0332c0dfaeac"},
		{"76A22BF4-F153-4541-B6C7-0332C0DFAEAC", "76a22bf4-f153-4541-b6c7-0332c0dfaeac"},
		{"", ""},
		{"random", ""},
		{"clear", ""},
		{"76a22bf4f1534541b6c70332c0dfaeac", ""},
		{"76a22bf4-f153-4541-b6c7-0332c0dfaea", ""},
		{"76a22bf4-f153-4541-b6c7-0332c0dfaeacc", ""},
		{"76a22bf4-f153-4541-b6c7-0332c0dfaeag", ""},
		{"76a22bf4-f153-4541-b6c70332c0dfaeac-", ""},
		{"-6a22bf4-f153-4541-b6c7-0332c0dfaeac", ""},
	} {
		u, err := ParseUUID(tc.in)
		switch {
		case tc.want == "" && err == nil:
			t.Errorf("ParseUUID(%q) = %v, want an error", tc.in, u)
		case tc.want == "" && !strings.Contains(err.Error(), "8-4-4-4-12"):
			t.Errorf("ParseUUID(%q): error %q does not say how to write one", tc.in, err)
		case tc.want != "" && (err != nil || u.String() != tc.want):
			t.Errorf("ParseUUID(%q) = %v, %v, want %s", tc.in, u, err, tc.want)
		}
	}
}

// The vector is that of RFC 9562, appendix A.4.
func TestDerive(t *testing.T) {
	t.Parallel()
	dns, err := ParseUUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := dns.Derive("www.example.com").String(), "2ed6657d-e927-568b-95e1-2665a8aea6a2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := dns.String(); got != "6ba7b810-9dad-11d1-80b4-00c04fd430c8" {
		t.Errorf("Derive changed its name space to %s", got)
	}
}

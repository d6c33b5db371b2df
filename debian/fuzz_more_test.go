package debian

import (
	"strings"
	"testing"
)

func FuzzParseInRelease(f *testing.F) {
	key := newKey(f, 0)
	good := sign(f, "Suite: s\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n "+strings.Repeat("a", 64)+" 1 main/binary-amd64/Packages\n", key)
	ring := armored(f, key)
	f.Add(good)
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n- -x\n-----BEGIN PGP SIGNATURE-----\n\n=aaaa\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ParseInRelease(data, ring); err == nil && !strings.Contains(string(data), "BEGIN PGP SIGNATURE") {
			t.Errorf("%q has no signature and is taken", data)
		}
	})
}

func FuzzParseRelease(f *testing.F) {
	f.Add([]byte("Suite: s\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n " + strings.Repeat("a", 64) + " 1 main/binary-amd64/Packages\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rel, err := parseRelease(data)
		if err != nil {
			return
		}
		for name := range rel.files {
			if !validPath(name) {
				t.Errorf("%q is listed", name)
			}
		}
	})
}

func FuzzParseRelations(f *testing.F) {
	f.Add("a (>= 1:2.3-4) | b:any, c (<< 2~)")
	f.Add("a (= 1")
	f.Fuzz(func(t *testing.T, s string) {
		relations, err := ParseRelations(s)
		if err != nil {
			return
		}
		for _, r := range relations {
			again, err := ParseRelations(r.String())
			if err != nil || len(again) != 1 || again[0].String() != r.String() {
				t.Errorf("%q became %q, and that %v, %v", s, r, again, err)
			}
			for _, p := range r {
				p.Matches("1:1-1")
			}
		}
	})
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1:1.0~rc1-2", "1.0-1+b1")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err := CompareVersions(a, b)
		y, err2 := CompareVersions(b, a)
		if (err == nil) != (err2 == nil) || err == nil && (x > 0) != (y < 0) {
			t.Errorf("%q and %q: %d, %v and %d, %v", a, b, x, err, y, err2)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\nDepends: b (>= 1)\nDescription: x\n .\n y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		stanzas, err := ParseStatus(data)
		if err != nil {
			return
		}
		var text strings.Builder
		for _, s := range stanzas {
			text.WriteString(s.String() + "\n")
		}
		again, err := ParseStatus([]byte(text.String()))
		if err != nil || len(again) != len(stanzas) {
			t.Errorf("%q is written as %q, which is %v, %v", data, text.String(), again, err)
		}
	})
}

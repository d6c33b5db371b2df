package debian

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCompanions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		release Release
		asked   string
		want    string
	}{
		{Release{Origin: "Debian", Label: "Debian", Suite: "stable", Codename: "trixie", Version: "13.1"}, "trixie", "trixie-updates trixie-security"},
		{Release{Origin: "Debian", Label: "Debian", Suite: "oldstable", Codename: "bookworm", Version: "12.13"}, "oldstable", "oldstable-updates oldstable-security"},
		{Release{Origin: "Debian", Label: "Debian", Suite: "testing", Codename: "forky"}, "testing", "testing-updates testing-security"},
		{Release{Origin: "Debian", Label: "Debian", Suite: "oldoldstable", Codename: "buster", Version: "10.13"}, "buster", "buster-updates buster/updates"},
		{Release{Origin: "Debian", Label: "Debian", Suite: "unstable", Codename: "sid"}, "unstable", ""},
		{Release{Origin: "Debian", Label: "Debian", Suite: "unstable", Codename: "sid"}, "sid", ""},
		{Release{Origin: "Debian", Label: "Debian", Suite: "experimental", Codename: "rc-buggy"}, "experimental", ""},
		{Release{Origin: "Debian", Label: "Debian", Suite: "stable-updates", Codename: "trixie-updates"}, "trixie-updates", ""},
		{Release{Origin: "Debian", Label: "Debian-Security", Suite: "stable-security", Codename: "trixie-security"}, "trixie-security", ""},
		{Release{Origin: "Debian Backports", Label: "Debian Backports", Suite: "stable-backports", Codename: "trixie-backports"}, "trixie-backports", ""},
		{Release{Origin: "Ubuntu", Label: "Ubuntu", Suite: "noble", Codename: "noble"}, "noble", "noble-updates noble-security"},
		{Release{Origin: "Ubuntu", Label: "Ubuntu", Suite: "noble-updates", Codename: "noble"}, "noble-updates", ""},
		{Release{Origin: "Someone", Label: "Debian", Suite: "stable", Codename: "trixie"}, "trixie", ""},
	} {
		if got := strings.Join(tt.release.Companions(tt.asked), " "); got != tt.want {
			t.Errorf("%s of %s: %q, want %q", tt.asked, tt.release.Origin, got, tt.want)
		}
		// What is known of a name is what its file will say.
		if known := KnownCompanions(tt.asked); tt.release.Origin == "Debian" && len(known) > 0 && !slices.Equal(known, strings.Fields(tt.want)) {
			t.Errorf("%s: %q by its name", tt.asked, known)
		}
	}
	if KnownCompanions("noble") != nil || KnownCompanions("sid") != nil || len(KnownCompanions("trixie")) != 2 || KnownCompanions("buster")[1] != "buster/updates" {
		t.Error("what is known of names is wrong")
	}
}

func TestMirrorsOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ mirror, suite, want string }{
		{"http://m.example/debian", "trixie", "http://m.example/debian"},
		{"http://m.example/debian", "trixie-updates", "http://m.example/debian"},
		{"http://m.example/debian/", "trixie-security", "http://m.example/debian-security/ http://m.example/debian/"},
		{"http://m.example/debian", "buster/updates", "http://m.example/debian-security http://m.example/debian"},
		{"https://u:p@m.example/archive/debian/20260101T000000Z", "trixie-security", "https://u:p@m.example/archive/debian-security/20260101T000000Z https://u:p@m.example/archive/debian/20260101T000000Z"},
		{"http://m.example/debian/debian", "trixie-security", "http://m.example/debian/debian-security http://m.example/debian/debian"},
		{"http://debian.example/ubuntu", "noble-security", "http://debian.example/ubuntu"},
		{"http://m.example/my-debian", "trixie-security", "http://m.example/my-debian"},
		{"://", "trixie-security", "://"},
	} {
		if got := strings.Join(MirrorsOf(tt.mirror, tt.suite), " "); got != tt.want {
			t.Errorf("%s of %s: %s, want %s", tt.suite, tt.mirror, got, tt.want)
		}
	}
	now := time.Date(2026, 11, 30, 4, 5, 6, 0, time.FixedZone("", 3600))
	want := []string{"http://ftp.debian.org/debian", "https://snapshot.debian.org/archive/debian/20261130T000000Z"}
	if d := cmp.Diff(want, DefaultMirrors("trixie-updates", now)); d != "" {
		t.Error(d)
	}
	want = []string{"http://ftp.debian.org/debian-security", "https://snapshot.debian.org/archive/debian-security/20261130T000000Z"}
	if d := cmp.Diff(want, DefaultMirrors("trixie-security", now)); d != "" {
		t.Error(d)
	}
}

func TestSnapshotTimes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	for address, want := range map[string]bool{
		"https://s.example/archive/debian/20261121T010203Z": true, "https://s.example/20261121T010203Z/debian/": true,
		"https://s.example/debian": false, "https://s.example/debian-20261121T010203Z": false, "https://s.example/20261121": false,
		"https://s.example/20261321T010203Z": false, "://": false,
	} {
		if got, ok := SnapshotTime(address); ok != want || ok && !got.Equal(at) {
			t.Errorf("%s: %v, %v", address, got, ok)
		}
	}
	if got := AtSnapshot("https://s.example/ubuntu/", at); got != "https://s.example/ubuntu/20261121T010203Z" {
		t.Error(got)
	}
	if CheckSnapshotTime(at, at.Add(-time.Hour)) == nil || CheckSnapshotTime(at, at) != nil {
		t.Error("which times are to come is wrong")
	}
}

func TestMirrorsOfClient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, list, suite, want string }{
		{"names both", "deb http://a.example/debian bookworm main\ndeb http://s.example/sec bookworm-security main\n", "trixie-security", "http://s.example/sec"},
		{"names one", "deb http://a.example/debian bookworm main\n", "trixie-security", "http://a.example/debian-security http://a.example/debian"},
		{"the main one", "deb http://a.example/debian bookworm main\n", "trixie", "http://a.example/debian"},
		{"another distribution's security updates", "deb http://u.example/ubuntu noble-security main\ndeb http://a.example/debian bookworm main\n", "trixie-security", "http://a.example/debian-security http://a.example/debian"},
		{"another distribution", "deb http://u.example/ubuntu noble main\ndeb http://u.example/ubuntu noble-security main\n", "trixie-security", ""},
		{"the old name", "deb http://s.example/x buster/updates main\n", "trixie-security", "http://s.example/x"},
		{"nothing", "", "trixie", ""},
	} {
		got := MirrorsOfClient(aptDir(t, map[string]string{"sources.list": tt.list}), tt.suite)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// An entry is written as it was read, without what does not matter.
func TestParseSources(t *testing.T) {
	t.Parallel()
	const stanzas = "# comment\nTypes: deb-src deb\nURIs: http://a.example/x http://b.example/y\nSuites: s t\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n\nTypes: deb\nEnabled: false\nURIs: http://off.example\nSuites: x\n\nTypes: deb\nSuites: none\n"
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"a.sources", stanzas, []string{"Types: deb\nURIs: http://a.example/x http://b.example/y\nSuites: s t\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc"}},
		{"a.list", "deb\t[ arch=amd64 ]\thttp://a.example/x\ts main # x\ndebug http://x y\ndeb [x http://x y\ndeb http://x\ndeb-src http://a s\n", []string{"deb [ arch=amd64 ] http://a.example/x s main", "deb-src http://a s"}},
	} {
		entries, err := ParseSources(tt.name, []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.String())
			again, err := ParseSources(tt.name, []byte(e.String()+"\n"))
			if err != nil || len(again) != 1 || again[0].String() != e.String() || !e.Same(again[0]) {
				t.Errorf("%q: read again: %+v, %v", e, again, err)
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	if _, err := ParseSources("a.sources", []byte("no field\n")); err == nil {
		t.Error("a file that is none is read")
	}
}

// Sources of a tree come from a package, and those of a client from its files: no
// text makes the reader fail.
func FuzzParseSources(f *testing.F) {
	f.Add("a.list", "deb [a=b] http://x s main\n")
	f.Add("a.sources", "Types: deb\nURIs: http://x\nSuites: s\nSigned-By:\n a\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		entries, err := ParseSources(name, []byte(text))
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.Type == "" || len(e.URIs) == 0 || len(e.Suites) == 0 {
				t.Errorf("%q: %+v", text, e)
			}
			_ = e.String()
		}
	})
}

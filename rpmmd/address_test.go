package rpmmd

import (
	"net/url"
	"strings"
	"testing"
)

func TestJoinURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ base, location, want string }{
		{"https://x.example.org/os/", "repodata/a-1~rc1.xml", "https://x.example.org/os/repodata/a-1~rc1.xml"},
		{"https://x.example.org", "a", "https://x.example.org/a"},
		{"https://x.example.org/os//", "/a", "https://x.example.org/os/a"},
		{"https://x.example.org/os?token=a/b&c=%2F", "a", "https://x.example.org/os/a?token=a/b&c=%2F"},
		{"https://x.example.org/os/?token", "a", "https://x.example.org/os/a?token"},
		{"https://x.example.org?", "a", "https://x.example.org/a?"},
		{"http://user:p%40ss@x.example.org:80/os", "a", "http://user:p%40ss@x.example.org:80/os/a"},
		{"http://[2001:db8::1]:8080/os", "../a", "http://[2001:db8::1]:8080/a"},
		{"HTTPS://X.example.org/os", "a", "https://X.example.org/os/a"},
		{"https://x/a//b/", "../../../c/d", "https://x/c/d"},
		{"https://x/a//b/", "../c", "https://x/a//c"},
		{"https://x/a", "../../../../c", "https://x/c"},
		{"https://x/a/./b/../c", "./d", "https://x/a/c/d"},
		{"https://x/a?t", "b c+d%2be%zz?f#g\\ä", "https://x/a/b%20c%2Bd%2be%25zz%3Ff%23g%5C%C3%A4?t"},
	} {
		if got, err := JoinURL(tt.base, tt.location); err != nil || got != tt.want {
			t.Errorf("%s and %s: %q, %v; want %q", tt.base, tt.location, got, err, tt.want)
		}
	}
	for _, location := range []string{"", "..", "../..", "a/..", "a/.", "a/", "/", "a\nb", "a\x00", "\xff", strings.Repeat("a", maxLocation+1), "http://evil/x", "file:///etc/passwd", "a://b"} {
		if got, err := JoinURL("https://x.example.org/os", location); err == nil {
			t.Errorf("%q: got %q", location, got)
		}
	}
	for _, base := range []string{"", "file:///etc", "x.example.org", "https://", "https://a b/", "ftp://x/", "https://x/#a", "https://x/" + strings.Repeat("a", maxURL)} {
		if got, err := JoinURL(base, "x"); err == nil {
			t.Errorf("%q: got %q", base, got)
		}
	}
}

func TestPackageURL(t *testing.T) {
	t.Parallel()
	const mirror = "https://x.example.org/a/b/os/?token=1"
	for _, tt := range []struct{ base, location, want, err string }{
		{"", "Packages/libstdc++-1:2~rc1^3.rpm", "https://x.example.org/a/b/os/Packages/libstdc%2B%2B-1%3A2~rc1%5E3.rpm?token=1", ""},
		// In the location of a package nothing is escaped.
		{"", "a%2bb c?d#e.rpm", "https://x.example.org/a/b/os/a%252bb%20c%3Fd%23e.rpm?token=1", ""},
		{"", "../../blobstore/0a/a.rpm", "https://x.example.org/a/blobstore/0a/a.rpm?token=1", ""},
		{"", "%2e%2e/a.rpm", "https://x.example.org/a/b/os/%252e%252e/a.rpm?token=1", ""},
		{"https://x.example.org/pool", "../p/a+.rpm", "https://x.example.org/p/a%2B.rpm", ""},
		{"https://X.example.org.:443/pool/?t", "a.rpm", "https://X.example.org.:443/pool/a.rpm?t", ""},
		{"", "https://x.example.org/pool/../p/a+.rpm", "https://x.example.org/p/a+.rpm", ""},
		{"http://x.example.org/pool", "a.rpm", "", "not at the server of the repository, https://x.example.org; if that server is meant"},
		{"https://x.example.org:8443/", "a.rpm", "", "not at the server"},
		{"https://y.example.org/", "a.rpm", "", "not at the server"},
		{"https://x.example.org@y.example.org/", "a.rpm", "", "not at the server"},
		{"https://u:p@x.example.org/", "a.rpm", "", "names a user"},
		{"file:///etc", "a.rpm", "", "neither http nor https"},
		{"media://1", "a.rpm", "", "neither http nor https"},
		{"../pool", "a.rpm", "", "neither http nor https"},
		{"//y.example.org/", "a.rpm", "", "neither http nor https"},
		{"", "http://169.254.169.254/latest/a", "", "not at the server"},
		{"", "gopher://x.example.org/a", "", "neither http nor https"},
		{"", "//y.example.org/a", "https://x.example.org/a/b/os/y.example.org/a?token=1", ""},
		{"", "", "", "no location of a file"},
	} {
		p := Package{Base: tt.base, Location: tt.location}
		got, err := p.URL(mirror)
		if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q and %q:\ngot  %q, %v\nwant %q, %s", tt.base, tt.location, got, err, tt.want, tt.err)
		}
	}
	p := Package{Base: "http://u:p@x/b", Location: "a"}
	if got, err := p.URL("http://u:p@x/a"); err != nil || got != "http://u:p@x/b/a" {
		t.Errorf("got %q, %v", got, err)
	}
}

// checkAddress makes sure that a package of hostile metadata is asked of its
// mirror's server alone, and laid down below the repository's copy.
func checkAddress(t *testing.T, p *Package) {
	t.Helper()
	if place := p.Place(); !validLocation(place) || strings.Contains("/"+place+"/", "/../") {
		t.Errorf("%q of %q lies at %q", p.Location, p.Base, place)
	}
	const mirror = "https://user:word@x.example.org:8443/a/b?token=1"
	u, err := p.URL(mirror)
	if err != nil {
		return
	}
	got, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	if got.Scheme != "https" || server(got) != "x.example.org:8443" || strings.Contains(got.EscapedPath()+"/", "/../") || got.Fragment != "" {
		t.Errorf("%q of %q is asked for at %q", p.Location, p.Base, u)
	}
	if p.Base == "" && !strings.Contains(p.Location, "://") && (got.RawQuery != "token=1" || got.User.String() != "user:word") {
		t.Errorf("%q is asked for at %q", p.Location, u)
	}
}

func FuzzLocation(f *testing.F) {
	f.Add("", "../../blobstore/a+b.rpm")
	f.Add("https://x.example.org:8443/pool/?a#b", "a%2fb.rpm")
	f.Add("https://user:word@x.example.org:8443", "https://x.example.org:8443/../a")
	f.Add("http://evil", "//evil/a\\b")
	f.Fuzz(func(t *testing.T, base, location string) {
		checkAddress(t, &Package{Base: base, Location: location, File: "file.rpm"})
		d := Data{Type: "primary", Base: base, Location: location}
		if !validLocation(d.File()) {
			t.Errorf("%q lies at %q", location, d.File())
		}
		if u, err := d.URL("https://x.example.org:8443/a"); err == nil && sameServer("https://x.example.org:8443", u) != nil {
			t.Errorf("%q of %q is asked for at %q", location, base, u)
		}
	})
}

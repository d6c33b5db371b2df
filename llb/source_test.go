package llb

import "testing"

func TestJoinURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mirror, rel, want string }{
		{"http://m.example/debian/", "dists/trixie/InRelease", "http://m.example/debian/dists/trixie/InRelease"},
		{"http://m.example", "pool/g/g++_1.2+dfsg-1~bpo_amd64.deb", "http://m.example/pool/g/g%2B%2B_1.2%2Bdfsg-1~bpo_amd64.deb"},
		{"http://m.example/a%20b", "pool/a_1%3a2 3_all.deb", "http://m.example/a%20b/pool/a_1%253a2%203_all.deb"},
		{"https://a.example/d+d/", "./a b.deb", "https://a.example/d%2Bd/a%20b.deb"},
		{"http://user:word@[::1]:80/x?token=1", "a", "http://user:word@[::1]:80/x/a?token=1"},
	} {
		if got, err := joinURL(c.mirror, c.rel); err != nil || got != c.want {
			t.Errorf("%s and %s: %q, %v; want %q", c.mirror, c.rel, got, err, c.want)
		}
	}
	for _, mirror := range []string{"", "file:///srv", "http://", "://"} {
		if got, err := joinURL(mirror, "a"); err == nil {
			t.Errorf("%q: got %q", mirror, got)
		}
	}
}

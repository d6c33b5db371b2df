package frontend

import (
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerui"
)

// TestMirrors says where suites are asked for that name no mirror.
func TestMirrors(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	client := func(suite string) []string {
		if suite == "noble" {
			return nil
		}
		return []string{"http://client.example/" + suite}
	}
	today := time.Now().UTC().Format("20060102") + "T000000Z"
	for _, tt := range []struct {
		name, mirror, suite string
		client              func(string) []string
		at                  *time.Time
		want                string
	}{
		{"nothing is known", "", "trixie", nil, nil, "http://ftp.debian.org/debian https://snapshot.debian.org/archive/debian/" + today},
		{"nothing is known of security", "", "trixie-security", nil, nil, "http://ftp.debian.org/debian-security https://snapshot.debian.org/archive/debian-security/" + today},
		{"the client's", "", "trixie-security", client, nil, "http://client.example/trixie-security"},
		{"not the client's", "", "noble", client, nil, "http://ftp.debian.org/debian https://snapshot.debian.org/archive/debian/" + today},
		{"the one that is given", "http://m.example/debian", "trixie", client, nil, "http://m.example/debian"},
		{"its security updates", "http://m.example/debian", "trixie-security", client, nil, "http://m.example/debian-security http://m.example/debian"},
		{"a time", "", "trixie", client, &at, "https://snapshot.debian.org/archive/debian/20261121T000000Z"},
		{"a time, and the mirror that is given", "http://m.example/debian", "trixie-security", client, &at,
			"http://m.example/debian-security/20261121T000000Z http://m.example/debian/20261121T000000Z https://snapshot.debian.org/archive/debian-security/20261121T000000Z"},
	} {
		b := &build{ui: &dockerui.Client{}, cfg: Config{Mirrors: tt.client}}
		b.ui.BuildArgs = map[string]string{MirrorArg: tt.mirror}
		if got := strings.Join(b.mirrors(tt.suite, tt.at), " "); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

func TestCheckMirrorArg(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "http://m.example/debian", "https://u:p@m.example:8443/a/", "http://[::1]:3142/debian", "http://m.example/20261121T000000Z"} {
		if err := CheckMirrorArg(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"m.example", "m.example:3142/debian", "file:///srv/debian", "http:///debian", "http:m.example", "http://m.example/%zz", "cdrom:x", "-"} {
		if err := CheckMirrorArg(bad); err == nil || !strings.Contains(err.Error(), "give an http or https URL") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := CheckMirrorArg("ftp://user:secret@m.example/"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is shown, or nothing is: %v", err)
	}
}

func TestDatedArgs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mirror, snapshot string
		want             bool
	}{{"", "", false}, {"http://m.example/debian", "", false}, {"http://m.example/20261121T000000Z", "", true}, {"", "20261121T000000Z", true}} {
		if got := DatedArgs(map[string]string{MirrorArg: tt.mirror, SnapshotArg: tt.snapshot}); got != tt.want {
			t.Errorf("%q, %q: %v", tt.mirror, tt.snapshot, got)
		}
	}
	if at, err := ParseSnapshotArg("20261121T000000Z"); err != nil || at.Day() != 21 {
		t.Error(at, err)
	}
	if _, err := ParseSnapshotArg("2026-11-21"); err == nil || !strings.HasPrefix(err.Error(), "OSBUILDKIT_SNAPSHOT: ") {
		t.Error(err)
	}
}

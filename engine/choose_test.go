package engine

import (
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		builder, host string
		kind          Kind
		target        string
		err           string // part of the message
	}{
		{"", "", Embedded, "", ""},
		{"embedded", "tcp://h:1", Embedded, "", ""},
		{"", "tcp://h:1", Address, "tcp://h:1", ""},
		{"unix:///run/x.sock", "tcp://h:1", Address, "unix:///run/x.sock", ""},
		{"docker-container://buildkitd", "", Address, "docker-container://buildkitd", ""},
		{"kube-pod://pod?namespace=n", "", Address, "kube-pod://pod?namespace=n", ""},
		{"ssh://user@host", "", Address, "ssh://user@host", ""},
		{"tcp://[::1]:1234", "", Address, "tcp://[::1]:1234", ""},
		{"remote", "tcp://h:1", Buildx, "remote", ""},
		{"my_builder-1.2", "", Buildx, "my_builder-1.2", ""},
		{"http://h:1", "", 0, "", `--builder "http://h:1": unknown scheme "http", known are tcp, unix`},
		{"tcp://h", "", 0, "", "needs host and port"},
		{"tcp://:1", "", 0, "", "needs host and port"},
		{"unix://run/x.sock", "", 0, "", "absolute path"},
		{"unix://", "", 0, "", "absolute path"},
		{"docker-container://", "", 0, "", "nothing named after docker-container://"},
		{"/run/x.sock", "", 0, "", "write unix:///run/x.sock"},
		{"localhost:1234", "", 0, "", "write tcp://localhost:1234"},
		{"--help", "", 0, "", "neither an address"},
		{"a b", "", 0, "", "neither an address"},
		{"", "default", 0, "", `BUILDKIT_HOST "default": not an address`},
		{"", "ftp://x", 0, "", `BUILDKIT_HOST "ftp://x": unknown scheme`},
		{"", "embedded", 0, "", `BUILDKIT_HOST "embedded": not an address`},
		{"tcp://%zz", "", 0, "", "not an address"},
	} {
		got, err := choose(tt.builder, tt.host, true)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("choose(%q, %q): error %v, want one with %q", tt.builder, tt.host, err, tt.err)
			}
			continue
		}
		if err != nil || got.kind != tt.kind || got.target != tt.target {
			t.Errorf("choose(%q, %q) = %v %q, %v; want %v %q", tt.builder, tt.host, got.kind, got.target, err, tt.kind, tt.target)
		}
	}
}

// A system without an embedded engine has buildx's current builder in its place;
// whatever a user names is the same as on Linux.
func TestChooseWithoutEmbeddedEngine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		builder, host string
		kind          Kind
		target, text  string
		err           string
	}{
		{"", "", Buildx, "", "buildx's current builder", ""},
		{"", "tcp://h:1", Address, "tcp://h:1", "BuildKit at tcp://h:1", ""},
		{"remote", "tcp://h:1", Buildx, "remote", "buildx builder remote", ""},
		{"tcp://h:1", "", Address, "tcp://h:1", "BuildKit at tcp://h:1", ""},
		{"embedded", "", 0, "", "", "--builder embedded: the embedded engine needs Linux: give an address or the name of a buildx builder"},
		{"embedded", "tcp://h:1", 0, "", "", "the embedded engine needs Linux"},
		{"", "embedded", 0, "", "", `BUILDKIT_HOST "embedded": not an address`},
		{"localhost:1234", "", 0, "", "", "write tcp://localhost:1234"},
	} {
		got, err := choose(tt.builder, tt.host, false)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("choose(%q, %q): error %v, want one with %q", tt.builder, tt.host, err, tt.err)
			}
			continue
		}
		if err != nil || got.kind != tt.kind || got.target != tt.target || got.String() != tt.text {
			t.Errorf("choose(%q, %q) = %v %q (%s), %v; want %v %q (%s)", tt.builder, tt.host, got.kind, got.target, got, err, tt.kind, tt.target, tt.text)
		}
	}
}

func FuzzChoose(f *testing.F) {
	for _, s := range []string{"", "tcp://h:1", "unix:///x", "name", "a://b"} {
		f.Add(s, "")
		f.Add("", s)
	}
	f.Fuzz(func(t *testing.T, builder, host string) {
		c, err := choose(builder, host, true)
		if err == nil && c.kind != Embedded && c.target == "" {
			t.Errorf("choose(%q, %q) chose %s with no target", builder, host, c.kind)
		}
	})
}

func TestCheckVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]versionState{
		"v0.34.2":                versionGood,
		"0.13.0":                 versionGood,
		"v0.13.0-beta1":          versionGood,
		"v1.0.0":                 versionGood,
		"v0.12.5":                versionOld,
		"v0.11.7+d3e6c1360f6e":   versionOld,
		"v0.0.0+unknown":         versionUnknown,
		"":                       versionUnknown,
		"master":                 versionUnknown,
		"v99999999999999999.1.0": versionUnknown,
	} {
		if got := checkVersion(version); got != want {
			t.Errorf("checkVersion(%q) = %d, want %d", version, got, want)
		}
	}
}

func TestTooOldIsOneSentence(t *testing.T) {
	t.Parallel()
	want := "the daemon's BuildKit (v0.12.5) is too old: osbuildkit needs 0.13 or newer (capability exec.mount.cache.content); update the daemon or choose another with --builder"
	if got := tooOld("v0.12.5").Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

package contextname

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"motd": "", "a/b c/ß": "", "./a": "", "a/": "", ".": "", "a!b": "", "#a": "", "..a": "",
		"/a": "relative", "../a": "leads out", "a/..": "leads out", "a/../../b": "leads out", "*": "plain", "a?": "plain", "[a]": "plain", `a\b`: "plain",
		"a^": "plain", "!a": "plain", "./!a": "plain", "a\x00": "plain", "a\n": "control", " a": "space", "a ": "space", "\xff": "UTF-8", strings.Repeat("a", 5000): "longer",
	} {
		err := Check(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for options, want := range map[string][]Path{
		`{"source": {"type": "context", "path": "./files/"}, "paths": [{"from": "/etc/"}, {}, {"from": "/"}, {"from": "/a//b"}]}`: {
			{"files/etc", "/paths/0/from"}, {"files", "/source/path"}, {"files", "/source/path"}, {"files/a/b", "/paths/3/from"}},
		`{"source": {"type": "context"}, "paths": [{"from": "/a"}]}`:                 {{"a", "/paths/0/from"}},
		`{"source": {"type": "archive", "path": "a"}, "paths": [{"from": "/etc/"}]}`: nil,
		`[]`: nil,
	} {
		if diff := cmp.Diff(want, Paths(json.RawMessage(options))); diff != "" {
			t.Errorf("%s: %s", options, diff)
		}
	}
}

// FuzzCheck wants every name that is taken to lie in the context, and to be the
// same after it was joined.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"motd", "a/b", "../x", "a/..", "*", " a", "!a", `a\b`, ".", "", "./!a"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, name, from string) {
		if Check(name) != nil || Check(from) != nil {
			return
		}
		got := Join(name, "/"+from)
		if !filepath.IsLocal(got) || Check(got) != nil {
			t.Errorf("%q, %q: %q", name, from, got)
		}
	})
}

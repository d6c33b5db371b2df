package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func aptDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestClientMirrors(t *testing.T) {
	t.Parallel()
	dir := aptDir(t, map[string]string{
		"sources.list": "# deb http://off.example.org/debian trixie main\n" +
			"deb-src http://src.example.org/debian trixie main\n" +
			"deb [arch=amd64 signed-by=/k] http://one.example.org/debian/ trixie main contrib # best\n" +
			"debris http://x.example.org x\ndeb [open http://x.example.org x\ndeb http://short.example.org\n",
		"sources.list.d/b.sources": "Types: deb deb-src\nURIs: http://two.example.org/debian\nSuites: trixie trixie-updates\nComponents: main\n\n" +
			"Types: deb\nEnabled: no\nURIs: http://off.example.org/debian\nSuites: trixie\nComponents: main\n\n" +
			"Types: deb-src\nURIs: http://src.example.org/debian\nSuites: trixie\nComponents: main\n",
		"sources.list.d/a.list":      "deb https://three.example.org/repo ./\n",
		"sources.list.d/a.list.save": "deb https://old.example.org/debian trixie main\n",
	})
	got, err := ClientMirrors(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []ClientSource{
		{"http://one.example.org/debian", "trixie", []string{"main", "contrib"}},
		{"https://three.example.org/repo", "./", []string{}},
		{"http://two.example.org/debian", "trixie", []string{"main"}},
		{"http://two.example.org/debian", "trixie-updates", []string{"main"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestClientMirror(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, list, suite, want string }{
		{"the suite itself", "deb http://a.example.org/debian bookworm main\ndeb http://b.example.org/x trixie main\n", "trixie", "http://b.example.org/x"},
		{"another suite of Debian", "deb http://x.example.org/repo stuff main\ndeb http://a.example.org/mirror bookworm main\n", "trixie", "http://a.example.org/mirror"},
		{"by its address", "deb http://a.example.org/debian bookworm-updates main\n", "trixie", "http://a.example.org/debian"},
		{"not the security archive", "deb http://a.example.org/debian-security bookworm-security main\ndeb http://a.example.org/debian bookworm main\n", "trixie", "http://a.example.org/debian"},
		{"the security archive for its suites", "deb http://a.example.org/debian trixie main\ndeb http://a.example.org/sec bookworm-security main\n", "trixie-security", "http://a.example.org/sec"},
		{"no security archive", "deb http://a.example.org/debian trixie main\n", "trixie-security", ""},
		{"not a disc", "deb cdrom:[x]/ bookworm main\ndeb file:/srv/debian trixie main\n", "trixie", ""},
		{"none", "", "trixie", ""},
	}
	for _, tt := range tests {
		got, err := ClientMirror(aptDir(t, map[string]string{"sources.list": tt.list}), tt.suite)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), "names no mirror") {
			t.Error(err)
		}
	}
	if _, err := ClientMirror(filepath.Join(t.TempDir(), "none"), "trixie"); err == nil {
		t.Error("a directory that is missing has a mirror")
	}
}

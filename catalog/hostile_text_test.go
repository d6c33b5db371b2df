package catalog

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/hostiletest"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// textOptions has for each stage of packages options in which every text is given that goes
// into a configuration or onto a command line. KEY is a public key.
var textOptions = map[string][]string{
	packages.DebootstrapStage: {`{"suite": "trixie", "mirror": "http://m.example/debian", "components": ["main"], "arch": "amd64", "keyring": KEY, "variant": "minbase", "packages": ["vim"],
		"sources": ["deb http://m.example/debian trixie main"], "path_excludes": ["/usr/share/doc/*"], "path_includes": ["/usr/share/doc/a"]}`,
		`{"suite": "trixie", "snapshot": "20260101T000000Z"}`},
	packages.AptStage: {`{"packages": ["a", "b=1", "c [amd64]"], "exclude_packages": ["d"], "debconf": ["a b string c"], "path_excludes": ["/usr/share/doc/*"], "auth": "mirror",
		"sources": ["Types: deb\nURIs: http://m.example/debian\nSuites: trixie\nComponents: main"],
		"repos": [{"suite": "trixie", "mirror": "http://m.example/debian", "components": ["main"], "arch": "amd64", "keyring": KEY}]}`},
	"org.osbuild.dnf": {`{"repos": [{"id": "r", "baseurl": "https://m.example/a", "gpgkey": KEY, "checksum": "sha256:SUM", "sslcacert": "/a", "sslclientcert": "/b", "sslclientkey": "/c"}],
		"packages": ["a", "@core"], "releasever": "42", "basearch": "x86_64", "operation": "install", "exclude_packages": ["b*"], "module_platform_id": "platform:f42", "gpgkeys": [KEY]}`,
		`{"repos": [{"metalink": "https://m.example/a", "gpgkey": KEY}], "packages": ["a"], "releasever": "42"}`,
		`{"repos": [{"mirrorlist": "https://m.example/a", "gpgkey": KEY}], "packages": ["a"], "releasever": "42"}`},
	"org.osbuild.yum": {`{"repos": [{"baseurl": "https://m.example/a", "gpgkey": KEY}], "packages": ["a"], "releasever": "7", "basearch": "x86_64", "operation": "install", "gpgkeys": [KEY]}`},
	"org.osbuild.rpm": {`{"packages": ["sha256:SUM", {"checksum": "sha256:SUM", "check_gpg": true}], "gpgkeys": [KEY], "gpgkeys.fromtree": ["/etc/pki/key"], "dbpath": "/usr/lib/sysimage/rpm", "install_langs": ["en_US"]}`},
}

// TestHostileTextOfPackages puts line ends, NUL bytes and, for names of packages, options into
// every text. None is accepted, but where the text has lines by its nature.
func TestHostileTextOfPackages(t *testing.T) {
	t.Parallel()
	key, err := json.Marshal(string(debian.DefaultKeyring()))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range packages.Modules() {
		if m.Internal() {
			continue
		}
		// The schema says part of it.
		m.Check = func(options json.RawMessage) []module.Problem {
			text := `{"stages": [{"name": "` + m.Name + `", "options": ` + string(options) + `}]}`
			if _, err := manifest.Load("image.json", []byte(text), Builtin()); err != nil {
				return []module.Problem{{Message: err.Error()}}
			}
			return nil
		}
		if len(textOptions[m.Name]) == 0 {
			t.Errorf("textOptions has nothing for %s", m.Name)
		}
		for _, options := range textOptions[m.Name] {
			options = strings.NewReplacer("KEY", string(key), "SUM", strings.Repeat("a", 64)).Replace(options)
			hostiletest.Each(t, &m, options, append([]string{"-V", "--V"}, hostiletest.Lines...), func(at, hostile string, _ json.RawMessage) {
				if !mayHold(at, hostile) {
					t.Errorf("%s accepts %q at %s", m.Name, hostile, at)
				}
			})
		}
	}
}

// mayHold says where a text has lines, or is not one of a command line.
func mayHold(at, hostile string) bool {
	switch {
	case strings.Contains(at, "gpgkey"), strings.Contains(at, "keyring"):
		return true
	case strings.HasPrefix(at, "/sources"):
		return !strings.ContainsAny(hostile, "\x00\r")
	case strings.HasPrefix(hostile, "-"):
		return !strings.Contains(at, "packages") && !strings.Contains(at, "releasever") && !strings.Contains(at, "basearch")
	}
	return false
}

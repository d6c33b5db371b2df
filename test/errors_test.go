//go:build e2e

package test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// failure is a build that must fail.
type failure struct {
	name string
	// manifest is the text of the manifest; %s stands for its last lines.
	manifest string
	args     []string
	// fault is shown by the mirror for files that match pattern.
	fault   FaultKind
	pattern string
	code    int
	// want is what has to stand on standard error. FILE is the manifest's
	// name, MIRROR the mirror's address; a line that is "…" stands for any
	// number of lines.
	want string
}

var failures = []failure{
	{
		name:     "not JSON",
		manifest: "{\n  \"stages\": [\n",
		code:     2,
		want:     "?",
	},
	{
		name: "unknown stage, unknown option and missing option",
		manifest: `{
  "stages": [
    {"name": "org.osbuild.hostnam", "options": {"hostname": "x"}},
    {"name": "org.osbuild.hostname", "options": {"hostnam": "x"}}
  ]
}
`,
		code: 2,
		want: "?",
	},
	{
		name: "a file name with a slash",
		manifest: `{
  "stages": [{"name": "org.osbuild.noop"}],
  "assembler": {"name": "org.osbuild.qemu", "options": {
    "format": "raw", "filename": "../disk.raw", "ptuuid": "0x1", "root_fs_uuid": "5f0c2c2e-94a3-4e0b-9a63-8bd93ac3a1a8", "size": 1073741824
  }}
}
`,
		code: 2,
		want: "?",
	},
	{
		name: "another checksum",
		manifest: `{
  "stages": [
    {
      "name": "org.osbuildkit.debootstrap",
      "options": {"suite": "trixie", "checksum": "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
    }
  ]
}
`,
		code: 1,
		want: "?",
	},
	{
		name: "a keyring without the archive's key",
		manifest: `{
  "stages": [
    {
      "name": "org.osbuildkit.debootstrap",
      "options": {"suite": "trixie", "keyring": KEYRING}
    }
  ]
}
`,
		code: 1,
		want: "?",
	},
	{
		name: "a package that does not exist",
		manifest: `{
  "stages": [
    {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "packages": ["helo"]}}
  ]
}
`,
		code: 1,
		want: "?",
	},
	{
		name: "apt and a package that does not exist",
		manifest: `{
  "stages": [
    {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}},
    {"name": "org.osbuildkit.apt", "options": {"packages": ["ngnix"]}}
  ]
}
`,
		code: 1,
		want: "?",
	},
	{
		name: "no mirror",
		manifest: `{
  "stages": [
    {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "mirror": "http://127.0.0.1:1/debian"}}
  ]
}
`,
		code: 1,
		want: "?",
	},
	{
		name: "a package that was changed",
		manifest: `{
  "stages": [
    {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "packages": ["sl"]}}
  ]
}
`,
		fault:   Corrupt,
		pattern: "pool/main/s/sl/*",
		code:    1,
		want:    "?",
	},
	{
		name: "a package that is gone",
		manifest: `{
  "stages": [
    {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "packages": ["sl"]}}
  ]
}
`,
		fault:   NotFound,
		pattern: "pool/main/s/sl/*",
		code:    1,
		want:    "?",
	},
	{
		name: "a tree that is too large",
		manifest: `{
  "stages": [
    {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}},
    {"name": "org.osbuild.hostname", "options": {"hostname": "small"}}
  ],
  "assembler": {"name": "org.osbuild.qemu", "options": {
    "format": "raw", "filename": "disk.raw", "ptuuid": "0x1", "root_fs_uuid": "5f0c2c2e-94a3-4e0b-9a63-8bd93ac3a1a8", "size": 67108864
  }}
}
`,
		code: 1,
		want: "?",
	},
}

// TestFailures checks what is said about builds that cannot succeed, and that
// they leave nothing in the output directory.
func TestFailures(t *testing.T) {
	need(t)
	for _, tt := range failures {
		t.Run(tt.name, func(t *testing.T) {
			file := textFile(t, "image.json", strings.ReplaceAll(tt.manifest, "KEYRING", quotedKey(t)))
			if tt.pattern != "" {
				fault := shared.mirror.Inject(tt.fault, tt.pattern)
				defer fault.Lift()
			}
			dir := filepath.Join(t.TempDir(), "out")
			p := startBuild(t, append(append([]string{"-o", dir}, tt.args...), file)...).wait()
			got := strings.NewReplacer(file, "FILE", shared.mirror.URL(), "MIRROR").Replace(p.text())
			if p.code() != tt.code {
				t.Errorf("exit code %d, want %d", p.code(), tt.code)
			}
			if !matchText(tt.want, got) {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left in the output directory: %q", left)
			}
			if left := files(t, filepath.Join(shared.store, "tmp")); len(left) > 0 {
				t.Errorf("left in the store's tmp: %q", left)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(shared.store, "buildkit")); err != nil {
		t.Error(err)
	}
}

// matchText compares texts; "…" in the pattern stands for anything.
func matchText(pattern, text string) bool {
	parts := strings.Split(pattern, "…")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1 : len(parts)-1] {
		_, after, ok := strings.Cut(rest, p)
		if !ok {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// quotedKey returns a fresh public key as a JSON string.
func quotedKey(t *testing.T) string {
	t.Helper()
	key, err := openpgp.NewEntity("Another Archive", "", "archive@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(out.String())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

//go:build e2e

package test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/testkey"
)

// failure is a build that must fail.
type failure struct {
	name string
	// manifest is the text of the manifest; KEYRING stands for a key that is
	// not the archive's.
	manifest string
	// fault is shown by the mirror for files that match pattern.
	fault   FaultKind
	pattern string
	code    int
	// want is what stands on standard error. FILE is the manifest's name,
	// MIRROR the mirror's address, and … stands for what is the archive's or
	// the engine's and not ours.
	want string
}

var failures = []failure{
	{
		name:     "not JSON",
		manifest: "{\n  \"stages\": [\n",
		code:     2,
		want: `FILE:3:1: expected a value or "]", found the end of the file (at /stages/0); the "[" at 2:13 is not closed
     3 | 
       | ^
`,
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
		want: `FILE:3:14: unknown stage "org.osbuild.hostnam" (at /stages/0/name); did you mean "org.osbuild.hostname"?
     3 |     {"name": "org.osbuild.hostnam", "options": {"hostname": "x"}},
       |              ^^^^^^^^^^^^^^^^^^^^^
FILE:4:49: the option "hostname" is missing (at /stages/1/options)
     4 |     {"name": "org.osbuild.hostname", "options": {"hostnam": "x"}}
       |                                                 ^^^^^^^^^^^^^^^^
FILE:4:50: unknown option "hostnam" (at /stages/1/options/hostnam); did you mean "hostname"?
     4 |     {"name": "org.osbuild.hostname", "options": {"hostnam": "x"}}
       |                                                  ^^^^^^^^^
`,
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
		want: `FILE:4:34: "../disk.raw" is not a plain file name: files are written into the output directory and nowhere else, so leave out every "/" (at /assembler/options/filename)
     4 |     "format": "raw", "filename": "../disk.raw", "ptuuid": "0x1", "root_fs_uuid": "5f0c2c2e-94a3-4e0b-9a63-8bd93ac3a1a8", "size": 1073741824
       |                                  ^^^^^^^^^^^^^
`,
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
		want: `FILE:3:5: fetch dists/trixie/InRelease failed: repository "trixie": …sha256:…sha256:0000000000000000000000000000000000000000000000000000000000000000…
     3 |     {
       |     ^
`,
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
		want: `FILE:3:5: org.osbuildkit.debootstrap: repository "trixie": MIRROR/dists/trixie/InRelease: the InRelease file is signed by …, and the keyring has no such key; give the repository's public key in the option "keyring"
     3 |     {
       |     ^
`,
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
		want: `FILE:3:5: [tree 1/1] org.osbuildkit.debootstrap: solve failed: exit code: 1
     3 |     {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "packages": ["helo"]}}
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
the end of its log:
  | org.osbuildkit.debootstrap.solve: suite trixie: there is no package "helo" in the repositories; did you mean hello?
`,
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
		want: `FILE:4:5: [tree 2/2] org.osbuildkit.apt: solve failed: exit code: 1
     4 |     {"name": "org.osbuildkit.apt", "options": {"packages": ["ngnix"]}}
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
the end of its log:
…  | org.osbuildkit.apt.solve-inside: there is no package "ngnix" in the repositories; did you mean nginx?
…`,
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
		want: `FILE:3:5: fetch dists/trixie/InRelease failed: repository "trixie": …Get "http://127.0.0.1:1/debian/dists/trixie/InRelease": dial tcp 127.0.0.1:1: connect: connection refused
     3 |     {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "mirror": "http://127.0.0.1:1/debian"}}
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
`,
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
		want: `FILE:3:5: fetch sl_….deb failed: …sha256:…
     3 |     {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "packages": ["sl"]}}
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
`,
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
		want: `FILE:3:5: fetch sl_….deb failed: …sha256:…
     3 |     {"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "packages": ["sl"]}}
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
`,
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
		want: `FILE:6:16: [assembler 1/1] org.osbuild.qemu failed: exit code: 1
     6 |   "assembler": {"name": "org.osbuild.qemu", "options": {
       |                ^
the end of its log:
…org.osbuild.qemu: root file system: the tree does not fit: it needs a file system of about … bytes (… MiB), and there are 66060288 bytes (63 MiB); set the option size, which is 67108864, to … or more
`,
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
			p := startBuild(t, "-o", dir, file).wait()
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
	text, err := json.Marshal(testkey.NewSigner(t, nil).Keyring())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

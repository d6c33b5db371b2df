package packages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/testkey"
	"github.com/osbuildkit/osbuildkit/module"
)

// plainStatus is the database of a tree that has dpkg and nothing else.
const plainStatus = "Package: dpkg\nStatus: install ok installed\nVersion: 1.22\nArchitecture: amd64\nMaintainer: x\nDescription: x\n"

// aptTest lays out a tree with a package database and a repository with one
// package, and solves for it with the machine's apt.
func aptTest(t *testing.T, status func(dir string) map[string]string) (out string, err error) {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("apt-get is not installed")
	}
	dir := t.TempDir()
	put := func(name, data string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range status(dir) {
		put("tree/"+name, data)
	}
	packages := "Package: probe\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nDescription: x\nFilename: pool/probe_1_amd64.deb\nSize: 8\nSHA256: " + strings.Repeat("a", 64) + "\n"
	release := fmt.Sprintf("Suite: s\nCodename: s\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages\n", sha256.Sum256([]byte(packages)), len(packages))
	key := testkey.NewSigner(t, &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	signed, public := key.Clear(release), key.Keyring()
	put("repos/0/dists/s/InRelease", signed)
	put("repos/0/dists/s/main/binary-amd64/Packages", packages)
	options, err := json.Marshal(AptOptions{Packages: []string{"probe"}, Repos: []RepositoryOptions{{Suite: "s", Keyring: public}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"out", "tree/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	err = module.Find(Modules(), "org.osbuildkit.apt.solve").Run(context.Background(), &module.Input{
		Tree: filepath.Join(dir, "tree"), Options: options, Log: &log, OutputDir: filepath.Join(dir, "out"),
		Inputs: map[string]string{"repos": filepath.Join(dir, "repos")},
	})
	data, readErr := os.ReadFile(filepath.Join(dir, "out", debian.ListFile))
	if err == nil && readErr != nil {
		t.Fatal(readErr)
	}
	if _, statErr := os.Stat(filepath.Join(dir, "pwned")); statErr == nil {
		t.Errorf("a command of the tree has run: %v", err)
	}
	return string(data) + log.String(), err
}

// TestAptSolvesHostileDatabase gives apt trees whose package database is made
// to be more than that: none makes it run a command or read another file.
func TestAptSolvesHostileDatabase(t *testing.T) {
	tests := []struct {
		name   string
		status func(dir string) map[string]string
		want   string // in the error, or in what is printed
	}{
		{"plain", func(string) map[string]string {
			return map[string]string{statusFile: plainStatus, marksFile: "Package: dpkg\nArchitecture: amd64\nAuto-Installed: 1\n"}
		}, `"probe"`},
		{"command in the architecture", func(dir string) map[string]string {
			return map[string]string{statusFile: strings.Replace(plainStatus, "amd64", `amd64"; APT::Update::Pre-Invoke { "touch `+dir+`/pwned"; }; X "`, 1)}
		}, "no valid architecture"},
		{"options in the architecture", func(string) map[string]string {
			return map[string]string{statusFile: strings.Replace(plainStatus, "amd64", "amd64 signed-by=x] file:/x ./ #", 1)}
		}, "no valid architecture"},
		{"option in a name", func(string) map[string]string {
			return map[string]string{statusFile: plainStatus + "\nPackage: --pre-invoke=x\nStatus: install ok unpacked\nVersion: 1\nArchitecture: amd64\n"}
		}, "no valid name"},
		{"field twice", func(string) map[string]string {
			return map[string]string{statusFile: plainStatus + "architecture: arm64\n"}
		}, "is repeated"},
		{"control character", func(string) map[string]string {
			return map[string]string{statusFile: strings.Replace(plainStatus, "Description: x", "Description: \x1b[2J", 1)}
		}, "control character"},
		{"relation", func(string) map[string]string {
			return map[string]string{statusFile: plainStatus + "Depends: a (>= 1\n"}
		}, "Depends"},
		{"marks", func(string) map[string]string {
			return map[string]string{statusFile: plainStatus, marksFile: "Package: a b\nArchitecture: amd64\nAuto-Installed: 1\n"}
		}, marksFile},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := aptTest(t, tt.status)
			if err != nil {
				out = err.Error()
			}
			if !strings.Contains(out, tt.want) {
				t.Errorf("%q is not in %s", tt.want, out)
			}
		})
	}
}

// TestAptConf shows what the writer refuses.
// TestAptConf shows what the writer refuses.
func TestAptConf(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`a"b`, "a\nb", "a\rb", `a\b`, "a\x00", "a\x1b", "a\u0085", "a\xff"} {
		var set, list, line aptConf
		set.set("X", bad)
		list.list("X", "good", bad)
		line.line("deb", "file:/x", bad)
		for _, c := range []*aptConf{&set, &list, &line} {
			if text, err := c.text(); err == nil {
				t.Errorf("%q became %q", bad, text)
			}
		}
	}
	for _, bad := range []string{"", "a b", "[x]", "#"} {
		var line aptConf
		line.line("deb", bad)
		if _, err := line.text(); err == nil {
			t.Errorf("%q is a word", bad)
		}
	}
	var c aptConf
	c.set("Dir", "/a b")
	c.list("L", "1", "2")
	c.stanza([2]string{"Pin", "release *"})
	got, err := c.text()
	if want := "Dir \"/a b\";\nL { \"1\"; \"2\"; };\nPin: release *\n\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
}

package rpmdistro

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

func TestRPMVersion(t *testing.T) {
	for in, want := range map[string][3]string{
		"1:2.3-4+deb13u1": {"1", "2.3", "4+deb13u1"},
		"20240203":        {"", "20240203", "1"},
		"2.41-rc1-12":     {"", "2.41.rc1", "12"},
		"257.13-1~deb13u": {"", "257.13", "1~deb13u"},
	} {
		epoch, version, release := rpmVersion(in)
		if got := [3]string{epoch, version, release}; got != want {
			t.Errorf("rpmVersion(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRequirement(t *testing.T) {
	present := map[string]string{"libc6": "2.41-12", "mawk": "1.3", "awk": virtual, "nginx-common": "1.26.3-3"}
	for in, want := range map[string]string{
		"libc6 (>= 2.38)":           "libc6",
		"gone | mawk":               "mawk",
		"gone":                      "",
		"awk":                       "awk",
		"nginx-common (= 1.26.3-3)": "httpd-core = 1.26.3-3",
		"nginx-common (= 1.0)":      "httpd-core",
	} {
		r, err := debian.ParseRelations(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := requirement(r[0], present); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// writeTree writes the files of a small configured system.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := writeFile(filepath.Join(dir, name), text); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestSplit splits a small system: every file has one home, whoever ran it.
func TestSplit(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the files must be root's")
	}
	const status = `Package: bash
Status: install ok installed
Essential: yes
Architecture: amd64
Version: 5.2-1
Pre-Depends: libc6 (>= 2.38)
Conffiles:
 /etc/bash.bashrc 0123
Description: a shell
 more

Package: linux-image-6.12-cloud-amd64
Status: install ok installed
Architecture: amd64
Version: 6.12.1-1
Depends: bash, apt
Description: a kernel

Package: apt
Status: install ok installed
Architecture: amd64
Version: 3.0
Description: not for us
`
	dir := writeTree(t, map[string]string{
		"var/lib/dpkg/status":                                       status,
		"var/lib/dpkg/info/bash.list":                               "/.\n/bin\n/bin/bash\n/etc\n/etc/bash.bashrc\n/gone\n",
		"var/lib/dpkg/info/linux-image-6.12-cloud-amd64:amd64.list": "/.\n/boot\n/boot/vmlinuz-6.12\n/etc\n",
		"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/bash.bashrc": "", "etc/made": "",
		"usr/bin/bash": "", "usr/bin/nstat": "", "boot/vmlinuz-6.12": "", "boot/initrd.img-6.12": "", "etc/machine-id": "",
	})
	if err := os.Symlink("usr/bin", filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	s := &system{dir: dir, overlay: t.TempDir(), users: map[uint32]string{0: "root"}, groups: map[uint32]string{0: "root"}}
	packages, err := s.packages()
	if err != nil {
		t.Fatal(err)
	}
	unowned, err := s.unowned(packages)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, p := range packages {
		for _, f := range p.Files {
			got[p.Name] = append(got[p.Name], strings.TrimSpace(f.Directive+" "+f.Path))
		}
		slices.Sort(got[p.Name])
	}
	for _, f := range unowned {
		if !f.Dir {
			got["nobody"] = append(got["nobody"], f.Path)
		}
	}
	want := map[string][]string{
		"bash":        {"%config(noreplace) /etc/bash.bashrc", "/usr/bin/bash"},
		"kernel-core": {"/boot/vmlinuz-6.12"},
		"nobody":      {"/bin", "/etc/group", "/etc/made", "/etc/passwd", "/usr/bin/nstat"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if tags := []string{"Requires: bash"}; !slices.Equal(packages[1].Tags, tags) {
		t.Errorf("the kernel's dependencies are %q, want %q", packages[1].Tags, tags)
	}
}

// TestSign signs a package that rpmbuild made, which then verifies with this
// key and no other.
func TestSign(t *testing.T) {
	unsigned, err := os.ReadFile("../../rpmmd/testdata/unsigned.rpm")
	if err != nil {
		t.Fatal(err)
	}
	key, keys := newTestKey(t)
	_, others := newTestKey(t)
	file := filepath.Join(t.TempDir(), "a.rpm")
	if err := os.WriteFile(file, unsigned, 0o644); err != nil {
		t.Fatal(err)
	}
	// The second signature takes the place of the first.
	for range 2 {
		if err := key.SignFile(file); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := rpmmd.VerifyPackage(bytes.NewReader(signed), int64(len(signed)), keys); err != nil {
		t.Errorf("with the key: %v", err)
	}
	if _, _, err := rpmmd.VerifyPackage(bytes.NewReader(signed), int64(len(signed)), others); err == nil || errors.Is(err, rpmmd.ErrNotSigned) {
		t.Errorf("with another key: %v", err)
	}
	if _, _, err := rpmmd.VerifyPackage(bytes.NewReader(unsigned), int64(len(unsigned)), keys); !errors.Is(err, rpmmd.ErrNotSigned) {
		t.Errorf("not signed: %v", err)
	}
}

func newTestKey(t *testing.T) (*Key, *rpmmd.Keys) {
	t.Helper()
	key, err := NewKey("Test", time.Unix(1735689600, 0))
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := rpmmd.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return key, keys
}

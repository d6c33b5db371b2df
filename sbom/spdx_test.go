package sbom

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
)

const status = `Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.3.dfsg+really1.3.1-1+b1
Maintainer: Somebody <somebody@example.com>
Source: zlib
Homepage: https://zlib.example/
Description: compression library
 more of it

Package: base-files
Status: install ok installed
Architecture: amd64
Version: 13.8
Homepage: javascript:alert(1)
Description: base

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libc++1
Status: hold ok installed
Architecture: amd64
Version: 1~2
`

func subject() Subject {
	return Subject{Name: "web", ID: "abc", Created: time.Unix(1700000000, 0),
		OSRelease: []byte("ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nrubbish\n")}
}

func TestDebian(t *testing.T) {
	t.Parallel()
	list := &debian.PackageList{Packages: []debian.Package{
		{Name: "base-files", Version: "13.8", Architecture: "amd64", Path: "pool/main/b/base-files/base-files_13.8_amd64.deb", SHA256: strings.Repeat("3", 64)},
		{Name: "zlib1g", Version: "another", Architecture: "amd64", SHA256: strings.Repeat("4", 64)},
	}}
	data, err := Debian(subject(), []byte(status), list)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	var refs, names []string
	for _, p := range d.Packages {
		names = append(names, p.Name)
		for _, r := range p.ExternalRefs {
			refs = append(refs, r.Locator)
		}
	}
	if want := []string{"web", "base-files", "libc++1", "zlib1g"}; !slices.Equal(names, want) {
		t.Errorf("packages %q, want %q", names, want)
	}
	if want := []string{
		"pkg:deb/debian/base-files@13.8?arch=amd64&distro=debian-13",
		"pkg:deb/debian/libc%2B%2B1@1~2?arch=amd64&distro=debian-13",
		"pkg:deb/debian/zlib1g@1:1.3.dfsg%2Breally1.3.1-1%2Bb1?arch=amd64&distro=debian-13",
	}; !slices.Equal(refs, want) {
		t.Errorf("references %q\nwant %q", refs, want)
	}
	base, zlib := d.Packages[1], d.Packages[3]
	if len(base.Checksums) != 1 || base.Checksums[0].ChecksumValue != strings.Repeat("3", 64) || base.Homepage != "" {
		t.Errorf("base-files: %+v", base)
	}
	if len(zlib.Checksums) != 0 || zlib.Supplier != "Organization: Somebody <somebody@example.com>" ||
		zlib.SourceInfo != "built from the source package zlib" || zlib.Summary != "compression library" || zlib.Homepage != "https://zlib.example/" {
		t.Errorf("zlib1g: %+v", zlib)
	}
	if d.Packages[2].SPDXID != "SPDXRef-Package-deb-libc-2B--2B-1-amd64" || len(d.Relationships) != 4 || d.Packages[0].Summary != "Debian GNU/Linux 13 (trixie)" {
		t.Errorf("%+v", d)
	}
	again, err := Debian(subject(), []byte(status), list)
	if err != nil || !bytes.Equal(data, again) {
		t.Error("the same tree gives other bytes")
	}
	other := subject()
	other.Created = other.Created.Add(time.Second)
	third, err := Debian(other, []byte(status), list)
	if err != nil {
		t.Fatal(err)
	}
	var e document
	if err := json.Unmarshal(third, &e); err != nil || e.DocumentNamespace == d.DocumentNamespace {
		t.Errorf("two documents with one name: %s", e.DocumentNamespace)
	}
}

func TestBadStatus(t *testing.T) {
	t.Parallel()
	_, err := Debian(subject(), []byte("no field\n"), nil)
	if err == nil || !strings.HasPrefix(err.Error(), "/var/lib/dpkg/status: ") {
		t.Error(err)
	}
}

// FuzzDebian gives hostile databases: whatever is taken is valid JSON.
func FuzzDebian(f *testing.F) {
	f.Add([]byte(status))
	f.Add([]byte("Package: a\nStatus: a b installed\nVersion: \xff\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := Debian(subject(), data, nil)
		if err == nil && !json.Valid(out) {
			t.Errorf("%q", out)
		}
	})
}

package sbom

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/rpmmd"
)

const inventory = "bash\t0\t5.2\t1.fc43\tx86_64\tGPLv3+\tFedora Project\thttps://gnu.example/bash\tbash-5.2-1.fc43.src.rpm\tThe shell\n" +
	"gpg-pubkey\t0\t31645531\t66b6dccf\t(none)\tpubkey\t(none)\t(none)\t(none)\tFedora public key\n" +
	"vim\t2\t9.1\t1.fc43\tx86_64\tVim\t(none)\tjavascript:alert(1)\t(none)\t'An editor\twith a tab, it'\\''s\n\n'\n"

func TestRPM(t *testing.T) {
	t.Parallel()
	list := &rpmmd.PackageList{Packages: []rpmmd.Package{
		{Name: "vim", Epoch: 2, Version: "9.1", Release: "1.fc43", Arch: "x86_64", Location: "Packages/v/vim.rpm", SHA256: strings.Repeat("a", 64)},
	}}
	s := Subject{Name: "web", OSRelease: []byte("ID=fedora\nVERSION_ID=43\n"), Created: time.Unix(0, 0)}
	data, err := RPM(s, []byte(inventory), list)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Packages) != 3 { // the tree is one
		t.Fatalf("%d packages", len(d.Packages))
	}
	bash, vim := d.Packages[1], d.Packages[2]
	if bash.ExternalRefs[0].Locator != "pkg:rpm/fedora/bash@5.2-1.fc43?arch=x86_64&distro=fedora-43" || bash.Supplier != "Organization: Fedora Project" ||
		bash.SourceInfo != "built from the source package bash-5.2-1.fc43.src.rpm" || bash.Homepage != "https://gnu.example/bash" {
		t.Errorf("%+v", bash)
	}
	if vim.VersionInfo != "2:9.1-1.fc43" || vim.Homepage != "" || vim.PackageFileName != "Packages/v/vim.rpm" || len(vim.Checksums) != 1 ||
		!strings.HasSuffix(vim.ExternalRefs[0].Locator, "&epoch=2") {
		t.Errorf("%+v", vim)
	}
	if vim.Summary != "An editor with a tab, it's  " {
		t.Errorf("%q", vim.Summary)
	}
	again, err := RPM(s, []byte(inventory), list)
	if err != nil || string(again) != string(data) {
		t.Error("the same packages give another document", err)
	}
	if _, err := RPM(s, []byte("bash\t1\n"), nil); err == nil {
		t.Error("a broken inventory is taken")
	}
}

// TestRPMForgery gives packages whose words about themselves look like further
// packages.
func TestRPMForgery(t *testing.T) {
	t.Parallel()
	forged := "x\nforged\t0\t1\t1\tx86_64\tMIT\t(none)\t(none)\t(none)\ty"
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	for i := range rpmFields {
		f := []string{"real", "0", "1", "1", "x86_64", "MIT", "V", "(none)", "(none)", "S"}
		if i != 1 { // rpm prints a number there
			f[i] = forged + "'\n" + forged
		}
		for k := range f {
			if k != 1 {
				f[k] = quote(f[k])
			}
		}
		data, err := RPM(Subject{Created: time.Unix(0, 0)}, []byte(strings.Join(f, "\t")+"\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		var d document
		if err := json.Unmarshal(data, &d); err != nil || len(d.Packages) != 2 {
			t.Errorf("field %d: %d packages, %v", i, len(d.Packages), err)
		}
	}
	for _, bad := range []string{"'a", "a\\", "'a'\t'b'\n", "a", strings.Repeat("a\t", 20) + "\n"} {
		if _, err := RPM(Subject{}, []byte(bad), nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzRPM(f *testing.F) {
	f.Add([]byte(inventory), []byte("ID=fedora\n"))
	f.Add([]byte("'a\nb'\t0\t1\t1\tnoarch\t(none)\t(none)\t(none)\t(none)\t'it'\\''s'\n"), []byte("ID=\"x y\"\n"))
	f.Fuzz(func(t *testing.T, inventory, release []byte) {
		data, err := RPM(Subject{Name: "x", OSRelease: release, Created: time.Unix(0, 0)}, inventory, nil)
		if err == nil && !json.Valid(data) {
			t.Errorf("%q gives no JSON", inventory)
		}
	})
}

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
	"vim\t2\t9.1\t1.fc43\tx86_64\tVim\t(none)\tjavascript:alert(1)\t(none)\tAn editor\twith a tab\n"

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
	again, err := RPM(s, []byte(inventory), list)
	if err != nil || string(again) != string(data) {
		t.Error("the same packages give another document", err)
	}
	if _, err := RPM(s, []byte("bash\t1\n"), nil); err == nil {
		t.Error("a broken inventory is taken")
	}
}

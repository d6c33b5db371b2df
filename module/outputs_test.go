package module_test

import (
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

func TestOutputNameError(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"SHA256SUMS", "packages.json", "sbom.spdx.json", "provenance.json", // the files themselves
		"sha256sums", "Packages.JSON", "SBOM.spdx.json", "PROVENANCE.json", // where case does not matter
		"pac\u212aages.json", "package\u017f.json",
		"packages.json/x", "./packages.json", "/provenance.json", "x/../SHA256SUMS", // by way of a path
		"provenance.linux_amd64.json", "sbom.spdx.linux_arm64.json", "sbom-extra.spdx.json", "sbom-extra.spdx.linux_amd64.json",
		".osbuildkit-123", ".image.qcow2.123.part",
	} {
		err := module.OutputNameError(name)
		if err == nil || !strings.Contains(err.Error(), "choose another file name") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"image.qcow2", "packages.json.gz", "my-packages.json", "x/packages.json", "SHA256SUMS.asc", "SHA512SUMS", "sbom.json", "provenance",
		"image.part", ".hidden", "osbuildkit-1", "compose.json", "repo/config", "sbom.spdx.json.xz", "",
	} {
		if err := module.OutputNameError(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

//go:build e2e

package test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// spdxFile is the part of a bill of materials that the tests look at.
type spdxFile struct {
	Version  string `json:"spdxVersion"`
	Packages []struct {
		Name      string `json:"name"`
		Checksums []any  `json:"checksums"`
	} `json:"packages"`
}

// TestFrontendAttestations asks for the bill of materials and the record of
// origins: beside a disk image, and with a container image.
func TestFrontendAttestations(t *testing.T) {
	needFrontend(t)
	dir, out := buildDir(t, syntax(small())), t.TempDir()
	file := filepath.Join(dir, "image.json")
	buildxBuild(t, frontend.daemon, "--sbom=true", "--provenance=mode=max", "-o", out, "-f", file, dir)
	checkSums(t, out, smallImage)
	var statement struct {
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
	}
	if err := json.Unmarshal(readFile(t, filepath.Join(out, "sbom.spdx.json")), &statement); err != nil {
		t.Fatal(err)
	}
	names := checkSPDX(t, statement.Predicate)
	list := packageList(t, out)
	for _, p := range list.Packages {
		if !names[p.Name] {
			t.Errorf("the bill of materials lacks %s", p.Name)
		}
	}
	provenance := string(readFile(t, filepath.Join(out, "provenance.json")))
	for _, p := range list.Packages {
		if !strings.Contains(provenance, p.SHA256) {
			t.Errorf("the provenance lacks %s", p.File)
		}
	}

	// The same document without BuildKit's wrapping, from the command line.
	own := t.TempDir()
	build(t, "--builder", frontend.daemon.address, "--store", t.TempDir(), "-o", own, "--sbom", file)
	checkSPDX(t, readFile(t, filepath.Join(own, "sbom.spdx.json")))

	layout := filepath.Join(t.TempDir(), "layout")
	buildxBuild(t, frontend.daemon, "--target", "containerdisk", "--sbom=true", "--provenance=mode=max", "-o", "type=oci,tar=false,dest="+layout, "-f", file, dir)
	attached := 0
	for _, d := range layoutManifests(t, layout) {
		if d.Annotations["vnd.docker.reference.type"] == "attestation-manifest" {
			attached++
		}
	}
	if attached != 1 {
		t.Errorf("%d attestation manifests with the container disk", attached)
	}
}

// checkSPDX looks at a bill of materials and returns the names of its packages.
func checkSPDX(t *testing.T, data []byte) map[string]bool {
	t.Helper()
	var d spdxFile
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	names, sums := map[string]bool{}, 0
	for _, p := range d.Packages {
		names[p.Name] = true
		sums += len(p.Checksums)
	}
	if d.Version != "SPDX-2.3" || !names["dpkg"] || sums < 50 {
		t.Errorf("version %q, %d packages, %d checksums", d.Version, len(names), sums)
	}
	return names
}

package sbom

import (
	"net/url"
	"strconv"

	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// RPM writes the document of a tree with rpm's database.
func RPM(s Subject, installed []rpmmd.Installed) ([]byte, error) {
	release := parseOSRelease(s.OSRelease)
	// Several versions of a kernel may be installed at once.
	seen := map[string]bool{}
	var packages []spdxPackage
	for _, i := range installed {
		p := rpmPackage(i, release)
		if !seen[p.SPDXID] {
			seen[p.SPDXID] = true
			packages = append(packages, p)
		}
	}
	return s.encode(release, packages)
}

// rpmPackage describes one installed package. What it says of its license is
// mostly no expression of SPDX, so nothing is claimed.
func rpmPackage(i rpmmd.Installed, release map[string]string) spdxPackage {
	version := i.Version
	if i.Release != "" {
		version += "-" + i.Release
	}
	qualifiers := "?arch=" + url.QueryEscape(i.Arch)
	full := version
	if i.Epoch != nil {
		epoch := strconv.FormatUint(*i.Epoch, 10)
		qualifiers += "&epoch=" + epoch
		full = epoch + ":" + version
	}
	vendor := release["ID"]
	if vendor != "" && release["VERSION_ID"] != "" {
		qualifiers += "&distro=" + url.QueryEscape(vendor+"-"+release["VERSION_ID"])
	}
	name := purlEscape(i.Name)
	if vendor != "" {
		name = url.PathEscape(vendor) + "/" + name
	}
	p := spdxPackage{
		Name:             i.Name,
		SPDXID:           "SPDXRef-Package-rpm-" + idString(i.Name) + "-" + idString(full) + "-" + idString(i.Arch),
		VersionInfo:      full,
		DownloadLocation: noAssertion,
		Homepage:         homepage(i.URL),
		LicenseConcluded: noAssertion,
		LicenseDeclared:  noAssertion,
		CopyrightText:    noAssertion,
		Summary:          i.Summary,
		// See https://github.com/package-url/purl-spec, type "rpm".
		ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:rpm/" + name + "@" + purlEscape(version) + qualifiers}},
	}
	if i.Vendor != "" {
		p.Supplier = "Organization: " + i.Vendor
	}
	if i.SourceRPM != "" {
		p.SourceInfo = "built from the source package " + i.SourceRPM
	}
	return p
}

package sbom

import (
	"fmt"
	"net/url"

	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// RPMDatabases are the files in which a tree may have its database of RPM
// packages.
var RPMDatabases = []string{
	"/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite",
	"/usr/lib/sysimage/rpm/Packages.db", "/var/lib/rpm/Packages.db",
	"/usr/lib/sysimage/rpm/Packages", "/var/lib/rpm/Packages",
}

// rpmFields is the number of fields in a line of an inventory.
const rpmFields = 10

// RPM writes the document of a tree with RPM packages. The inventory is what
// rpm says of them: a line for each, with its name, epoch, version, release,
// architecture, license, vendor, address, source package and summary, separated
// by tabs, each as a shell quotes it; "(none)" stands for what it does not have. The list, which may be
// nil, adds what is known of the package files.
func RPM(s Subject, inventory []byte, list *rpmmd.PackageList) ([]byte, error) {
	release := parseOSRelease(s.OSRelease)
	files := map[string]rpmmd.Package{}
	if list != nil {
		for _, p := range list.Packages {
			files[p.NEVRA()] = p
		}
	}
	var packages []spdxPackage
	for rest := string(inventory); rest != ""; {
		var f []string
		var err error
		whole := rest
		if f, rest, err = rpmmd.ReadInventory(rest); err != nil {
			return nil, err
		}
		if len(f) != rpmFields {
			return nil, fmt.Errorf("%.80q is no line of an inventory of RPM packages", whole)
		}
		for i := range f {
			if f[i] == "(none)" {
				f[i] = ""
			}
		}
		// The keys that rpm knows stand among the packages.
		if f[0] == "gpg-pubkey" {
			continue
		}
		p := rpmPackage(f, release)
		nevra := f[0] + "-" + p.VersionInfo + "." + f[4]
		if file, ok := files[nevra]; ok {
			p.PackageFileName = file.Location
			p.Checksums = []checksum{{"SHA256", file.SHA256}}
		}
		packages = append(packages, p)
	}
	return s.encode(release, packages)
}

func rpmPackage(f []string, release map[string]string) spdxPackage {
	name, epoch, version, arch := f[0], f[1], f[2]+"-"+f[3], f[4]
	vendor := release["ID"]
	if vendor == "" {
		vendor = "rpm"
	}
	qualifiers := "?arch=" + url.QueryEscape(arch)
	if release["VERSION_ID"] != "" {
		qualifiers += "&distro=" + url.QueryEscape(vendor+"-"+release["VERSION_ID"])
	}
	info := version
	if epoch != "" && epoch != "0" {
		qualifiers += "&epoch=" + url.QueryEscape(epoch)
		info = epoch + ":" + version
	}
	p := spdxPackage{
		Name:             name,
		SPDXID:           "SPDXRef-Package-rpm-" + idString(name) + "-" + idString(info) + "-" + idString(arch),
		VersionInfo:      info,
		DownloadLocation: noAssertion,
		Homepage:         homepage(f[7]),
		LicenseConcluded: noAssertion,
		// What stands in the package is often no expression of SPDX.
		LicenseDeclared: noAssertion,
		CopyrightText:   noAssertion,
		Summary:         f[9],
		// See https://github.com/package-url/purl-spec, type "rpm".
		ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl",
			"pkg:rpm/" + url.PathEscape(vendor) + "/" + purlEscape(name) + "@" + purlEscape(version) + qualifiers}},
	}
	if f[6] != "" {
		p.Supplier = "Organization: " + f[6]
	}
	if f[8] != "" {
		p.SourceInfo = "built from the source package " + f[8]
	}
	return p
}

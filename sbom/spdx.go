package sbom

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/osrelease"
)

// File is the name under which a bill of materials stands beside an image.
const File = "sbom.spdx.json"

// DebianStatus is the path of dpkg's database in a tree.
const DebianStatus = "/var/lib/dpkg/status"

// OSRelease is the path of the file in a tree that names the distribution.
const OSRelease = "/etc/os-release"

// Subject says what a bill of materials is about.
type Subject struct {
	// Name is what the tree is called, such as the manifest's name.
	Name string
	// ID identifies the tree: osbuild's id of it, in hex.
	ID string
	// OSRelease is the content of /etc/os-release; it may be empty.
	OSRelease []byte
	// Created is the build's time.
	Created time.Time
}

// The parts of SPDX 2.3 that are written, see https://spdx.github.io/spdx-spec/v2.3/.
type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	Name                  string        `json:"name"`
	SPDXID                string        `json:"SPDXID"`
	VersionInfo           string        `json:"versionInfo,omitempty"`
	PackageFileName       string        `json:"packageFileName,omitempty"`
	Supplier              string        `json:"supplier,omitempty"`
	Originator            string        `json:"originator,omitempty"`
	DownloadLocation      string        `json:"downloadLocation"`
	FilesAnalyzed         bool          `json:"filesAnalyzed"`
	Homepage              string        `json:"homepage,omitempty"`
	SourceInfo            string        `json:"sourceInfo,omitempty"`
	LicenseConcluded      string        `json:"licenseConcluded"`
	LicenseDeclared       string        `json:"licenseDeclared"`
	CopyrightText         string        `json:"copyrightText"`
	Summary               string        `json:"summary,omitempty"`
	Checksums             []checksum    `json:"checksums,omitempty"`
	ExternalRefs          []externalRef `json:"externalRefs,omitempty"`
	PrimaryPackagePurpose string        `json:"primaryPackagePurpose,omitempty"`
}

type checksum struct {
	Algorithm     string `json:"algorithm"`
	ChecksumValue string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// noAssertion is what SPDX writes where nothing is claimed.
const noAssertion = "NOASSERTION"

const (
	documentID = "SPDXRef-DOCUMENT"
	treeID     = "SPDXRef-Tree"
)

// Debian writes the document of a tree with dpkg's database. The status is the
// content of DebianStatus; the list, which may be nil, adds what is known of
// the package files.
func Debian(s Subject, status []byte, list *debian.PackageList) ([]byte, error) {
	stanzas, err := debian.ParseControl(status)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", DebianStatus, err)
	}
	release := parseOSRelease(s.OSRelease)
	files := map[string]debian.Package{}
	if list != nil {
		for _, p := range list.Packages {
			files[p.Name+" "+p.Version+" "+p.Architecture] = p
		}
	}
	var packages []spdxPackage
	for _, st := range stanzas {
		if !strings.HasSuffix(st.Get("Status"), " installed") {
			continue
		}
		p := debianPackage(st, release)
		if f, ok := files[st.Get("Package")+" "+st.Get("Version")+" "+st.Get("Architecture")]; ok {
			p.PackageFileName = f.Path
			p.Checksums = []checksum{{"SHA256", f.SHA256}}
		}
		packages = append(packages, p)
	}
	return s.encode(release, packages)
}

// debianPackage describes one installed package.
func debianPackage(st debian.Stanza, release map[string]string) spdxPackage {
	name, version, arch := st.Get("Package"), st.Get("Version"), st.Get("Architecture")
	vendor := release["ID"]
	if vendor == "" {
		vendor = "debian"
	}
	qualifiers := "?arch=" + url.QueryEscape(arch)
	if release["VERSION_ID"] != "" {
		qualifiers += "&distro=" + url.QueryEscape(vendor+"-"+release["VERSION_ID"])
	}
	summary, _, _ := strings.Cut(st.Get("Description"), "\n")
	p := spdxPackage{
		Name:             name,
		SPDXID:           "SPDXRef-Package-deb-" + idString(name) + "-" + idString(arch),
		VersionInfo:      version,
		DownloadLocation: noAssertion,
		Homepage:         homepage(st.Get("Homepage")),
		LicenseConcluded: noAssertion,
		LicenseDeclared:  noAssertion,
		CopyrightText:    noAssertion,
		Summary:          summary,
		// See https://github.com/package-url/purl-spec, type "deb".
		ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl",
			"pkg:deb/" + url.PathEscape(vendor) + "/" + purlEscape(name) + "@" + purlEscape(version) + qualifiers}},
	}
	if m := st.Get("Maintainer"); m != "" {
		p.Supplier = "Organization: " + m
	}
	if source := st.Get("Source"); source != "" {
		p.SourceInfo = "built from the source package " + source
	}
	return p
}

// encode writes the document.
func (s Subject) encode(release map[string]string, packages []spdxPackage) ([]byte, error) {
	slices.SortFunc(packages, func(a, b spdxPackage) int {
		return strings.Compare(a.SPDXID+" "+a.VersionInfo, b.SPDXID+" "+b.VersionInfo)
	})
	name := s.Name
	if name == "" {
		name = "tree"
	}
	tree := spdxPackage{
		Name: name, SPDXID: treeID, VersionInfo: s.ID, DownloadLocation: noAssertion,
		LicenseConcluded: noAssertion, LicenseDeclared: noAssertion, CopyrightText: noAssertion,
		Summary: release["PRETTY_NAME"], PrimaryPackagePurpose: "OPERATING-SYSTEM",
	}
	d := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: documentID, Name: name,
		CreationInfo:  creationInfo{Created: s.Created.UTC().Format(time.RFC3339), Creators: []string{"Tool: osbuildkit"}},
		Packages:      append([]spdxPackage{tree}, packages...),
		Relationships: []relationship{{documentID, "DESCRIBES", treeID}},
	}
	for _, p := range packages {
		d.Relationships = append(d.Relationships, relationship{treeID, "CONTAINS", p.SPDXID})
	}
	body, err := json.Marshal(d.Packages)
	if err != nil {
		return nil, err
	}
	// The name of a document must be unique; made from the content, it is the
	// same for the same tree.
	d.DocumentNamespace = "https://github.com/osbuildkit/osbuildkit/spdx/" + idString(name) + "-" + uuid5(append([]byte(d.CreationInfo.Created), body...))
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(d); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// parseOSRelease reads the fields of os-release(5) that are used here. What
// does not look like a field is passed over.
func parseOSRelease(data []byte) map[string]string {
	out := map[string]string{}
	all := osrelease.Parse(string(data))
	for _, key := range []string{"ID", "VERSION_ID", "PRETTY_NAME"} {
		if value, found := all[key]; found {
			out[key] = value
		}
	}
	return out
}

// homepage keeps addresses that SPDX allows: a tree may hold anything.
func homepage(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return u.String()
}

// purlEscape escapes a part of a package URL.
func purlEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%3A", ":") }

// idString keeps letters, digits, dots and dashes, which is what an SPDX
// identifier may have; other bytes are written as -XX-, so that different
// names stay different.
func idString(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "-%02X-", c)
		}
	}
	return b.String()
}

// uuid5 makes a version 5 UUID (RFC 9562, 5.5) in the name space of URLs.
func uuid5(data []byte) string {
	space, _ := hex.DecodeString("6ba7b8119dad11d180b400c04fd430c8")
	h := sha1.Sum(append(space, data...))
	h[6] = h[6]&0x0f | 0x50
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

package module

import (
	"fmt"
	"path"
	"strings"
)

// The files that a build writes beside those of the assembler. They are the
// one list of them: OutputNameError keeps every other file from these names.
const (
	// ChecksumsFile lists the SHA-256 of the assembler's files, in the format of
	// sha256sum.
	ChecksumsFile = "SHA256SUMS"
	// PackagesFile lists the packages of the tree.
	PackagesFile = "packages.json"
	// SBOMFile is the bill of materials. A scanner that a client chooses writes
	// sbom-NAME.spdx.json for further parts of the build.
	SBOMFile = "sbom.spdx.json"
	// ProvenanceFile is BuildKit's record of where everything came from. With
	// several platforms in one directory, BuildKit puts the platform into this
	// name and into that of the bill of materials, before the last dot.
	ProvenanceFile = "provenance.json"
)

// ScratchPrefix starts the names of what a module keeps in the output directory
// while it works.
const ScratchPrefix = ".osbuildkit-"

// PartialSuffix ends the names of files that a client has not received whole
// yet. They start with a dot, and what is left over of them is removed.
const PartialSuffix = ".part"

// reservedOutputs are patterns of path.Match for names in lower case, with what
// the file is.
func reservedOutputs() [][2]string {
	return [][2]string{
		{ChecksumsFile, "the list of checksums"},
		{PackagesFile, "the list of the tree's packages"},
		{SBOMFile, "the bill of materials"},
		{"sbom.spdx.*.json", "the bill of materials of a platform"},
		{"sbom-*.spdx.json", "a scanner's bill of materials"},
		{"sbom-*.spdx.*.json", "a scanner's bill of materials"},
		{ProvenanceFile, "the provenance"},
		{"provenance.*.json", "the provenance of a platform"},
		{ScratchPrefix + "*", "scratch files"},
		{".*" + PartialSuffix, "files that have not arrived whole"},
	}
}

// OutputNameError reports that the build itself writes a file of this name, or
// removes it, so that no assembler may write one. Only the first part of a path
// counts: what the build writes is at the top of the output directory. Case
// does not matter, as on many clients it does not for files.
func OutputNameError(name string) error {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	top, _, _ := strings.Cut(name, "/")
	for _, r := range reservedOutputs() {
		if ok, _ := path.Match(fold(r[0]), fold(top)); ok {
			return fmt.Errorf("%q is a name that the build itself writes, for %s: choose another file name", top, r[1])
		}
	}
	return nil
}

// fold brings names that a file system without regard to case takes for the
// same into one form. Two letters outside of ASCII fold to letters of it.
func fold(name string) string {
	return strings.NewReplacer("ſ", "s", "\u212a", "k").Replace(strings.ToLower(name))
}

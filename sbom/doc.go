// Package sbom writes the bill of materials of a tree as an SPDX document.
//
// What is installed is read from the tree's own package database, which is
// the truth about it whatever stages have made it; what is known of the
// packages' files, their checksums and where they came from, is added from the
// lists that the package stages have worked from. A disk image would tell a
// scanner nothing, so the document is made from the tree and goes with the
// image.
//
// The same tree gives the same bytes. The package touches no file system.
package sbom

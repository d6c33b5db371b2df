// Package debian holds the logic of Debian archives and packages that needs
// neither a Debian system nor its programs.
//
// The way from an archive to an installed package leads through it in this
// order: ParseInRelease checks the signature of a repository's release file
// and Release.PackagesIndexes names the index files of it; Index reads those;
// Solver computes which packages a system consists of; PackageList is the
// result, and the list of what an image holds; Deb reads one package file.
//
// Everything that is read comes from elsewhere and is bounded: sizes of
// fields, numbers of entries, names. The package does no network access and
// writes no file.
package debian

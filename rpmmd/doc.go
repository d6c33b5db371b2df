// Package rpmmd holds the logic of RPM repositories and packages that needs
// neither an RPM system nor its programs.
//
// The way from a repository to an installed package leads through it in this
// order: Variables.Expand gives the addresses; ParseMetalink and
// ParseMirrorlist say which mirrors there are and what repomd.xml must be; the
// methods URL say where a mirror has a file, and never that another server has;
// ParseRepomd reads that file, once CheckPin or VerifyRepomd has found it
// genuine, and lists the metadata files that a solver needs; Names reads the
// names of packages for messages; PackageList is what a solver chose, and
// FilterPackages leaves of the metadata what is about that; VerifyPackage
// checks the signature of one package file.
//
// Everything that is read comes from elsewhere and is bounded. What MD5 or
// SHA-1 vouches for is refused. The package does no network access, reads and
// writes no file, and never fetches a key.
package rpmmd

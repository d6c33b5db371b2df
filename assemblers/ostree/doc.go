// Package ostree writes repositories of OSTree in the mode "archive": the
// objects that a commit consists of, each named by the SHA-256 of its content,
// and the reference that names the commit.
//
// The forms are those of libostree (ostree-core.h): metadata are GVariants
// whose numbers are big-endian; a file is a header, with owner, mode, target
// and extended attributes, and its content, which in this mode is compressed.
// The checksum of a file is that of the content without compression, so it
// does not depend on who compresses.
package ostree

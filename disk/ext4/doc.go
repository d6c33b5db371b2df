// Package ext4 writes an ext4 file system from the content of a directory, at
// an offset in a plain file: no device, no mount, no program of the build root.
//
// The structures are those of the kernel's documentation (filesystems/ext4),
// which the comments below name chapters of. Everything is written once:
// numbers of inodes are given first, then blocks are taken one after the other,
// each directory gets its index when it is written, and what describes the
// groups comes last. The same content gives the same bytes.
//
// The features are those that mke2fs 1.46 gives by default (1.42 for the profile
// EL7, which knows no checksums of metadata), so that kernels and
// boot loaders of older systems read it, and the file system can grow in place.
package ext4

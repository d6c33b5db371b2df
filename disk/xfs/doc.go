// Package xfs writes an XFS file system (version 5, with checksums) from the
// content of a directory, at an offset in a plain file: no device, no mount, no
// program of the build root.
//
// mkfs.xfs can fill a file system only from a list of files, without extended
// attributes, hard links, times and names with spaces, and differently each
// time. Here the structures are written as "XFS Algorithms & Data Structures"
// and the kernel's fs/xfs/libxfs/xfs_format.h give them, in one pass: inodes
// first, then blocks one after the other, so that every tree of records is
// built once and never changed. The same content gives the same bytes.
//
// The features are those that mkfs.xfs of the profile's time makes by default
// (layoutOf): 4.5 for EL7, 5.0 for EL8, 5.15 for EL9, which kernels from 5.10 and
// GRUB from 2.06 on read. None has the reverse mapping.
package xfs

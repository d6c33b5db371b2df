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
// The features are those that mkfs.xfs 5.15 makes, but for the reverse mapping:
// large time stamps, free inode trees, shared extents. Kernels from 5.10 and
// GRUB from 2.06 on read it.
package xfs

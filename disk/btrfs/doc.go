// Package btrfs writes a Btrfs file system of one device from the content of a
// directory, at an offset in a plain file: no device, no mount, no program of
// the build root.
//
// mkfs.btrfs can fill a file system, but takes the extended attributes of the
// builder's disk and makes identifiers and times that nobody can set. Here the
// trees are written as Btrfs' on-disk format gives them (Documentation/dev/
// On-disk-format and the kernel's include/uapi/linux/btrfs_tree.h), each once:
// data first, then all trees from sorted items. The same content gives the same
// bytes.
//
// Data and metadata are stored once (profile single). The features are those
// that mkfs.btrfs 5.15 makes: skinny metadata, no holes, a tree of free space.
package btrfs

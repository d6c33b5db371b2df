// Package vfat writes a FAT file system, as firmware reads it, from the content
// of a directory: FAT32, or FAT16 where the place is too small for it.
//
// How many clusters there are decides what a FAT is, not what its header says;
// firmware that counts takes a FAT32 with too few of them for another kind. So
// the size of a cluster is chosen by the number of clusters.
//
// A FAT has no owners, modes, links, devices or extended attributes, and no two
// names that differ only in case: what cannot be stored is an error, and modes
// and owners are those that the system mounts it with. The same content gives
// the same bytes.
package vfat

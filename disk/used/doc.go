// Package used tells which parts of a file system that was just made can be
// read by the system that mounts it: files, metadata, journals and logs, whether
// they hold zeros or not. The rest is free, and is written before it is read.
//
// What encrypts a file system has to know. Zeros that are left out of the
// encryption turn into random bytes for the one who reads them, so only free
// space may be left out. The package reads the maps that each file system keeps
// of its space: ext4's bitmaps, XFS' trees of free space, Btrfs' chunks, the
// table of a FAT. Whatever it does not know is in use.
package used

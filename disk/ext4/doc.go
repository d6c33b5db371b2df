// Package ext4 makes an ext4 file system from a directory, at an offset in a
// plain file, with mke2fs: no device, no mount, no privilege.
//
// The same directory gives the same bytes. All parameters are ours (identifiers,
// features and sizes, not those of the build root's mke2fs.conf), and what
// mke2fs takes from the builder is evened out afterwards: access and change
// times, the count of kilobytes written, and the mode, owner and time of the
// root directory, which mke2fs does not take from the tree at all. Different
// versions of mke2fs may still lay the same content out differently.
package ext4

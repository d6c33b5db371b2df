// Package fsread reads file systems out of disk images, without a mount: ext2,
// ext3, ext4 and FAT whole, with all that an inode says, and of others what
// their superblocks say. Formats are as the kernel's documentation
// (filesystems/ext4) and Microsoft's FAT specification give them.
//
// An image is hostile: every number is checked against the size of the file
// system, chains and trees are bounded, and a file system that contradicts
// itself is an error that wraps ErrDamaged. Nothing is ever written.
//
// The libraries that were looked at lose the permissions of files or fail on
// sparse files over 4 GiB, so this is our own.
package fsread

// Package verity makes the hash tree by which dm-verity checks what is read
// from a file system: every block of data has a digest, blocks of digests have
// digests, and the last of them, the root hash, stands for all.
//
// The form is the one that veritysetup(8) writes: a superblock, then the levels
// of the tree from the top down (Documentation/admin-guide/device-mapper/
// verity.rst of the kernel; the superblock is described in cryptsetup's wiki,
// DMVerity). Version 1, SHA-256, blocks of 4096 bytes. Data is read once and in
// order; of a sparse disk the holes are not read, and the digests of zeros are
// computed once.
package verity

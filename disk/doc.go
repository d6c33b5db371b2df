// Package disk and the packages below it make disk images out of plain files:
// no block device, no loop device, no mount and no privilege.
//
// Four small parts meet only in bytes and offsets, so that an assembler or a
// stage puts together what it needs:
//
//   - a partition table (disk/mbr, disk/gpt) says which sectors belong to what;
//   - a file system (disk/ext4, disk/xfs, disk/btrfs, disk/vfat, disk/swap) is
//     made at its offset of what disk/content has read: a directory, or the
//     part of it below a mount point, with the attributes of the ledger;
//   - boot code (disk/grub) is put into the sectors that nobody else owns, or
//     becomes a file of the EFI partition, as a unified kernel image (disk/uki)
//     does;
//   - a container (disk/qcow2, disk/vdi, disk/vmdk, …) stores the finished disk,
//     read through disk/sparse so that holes are never read.
//
// The other way round, disk/image opens the file of any container, disk/inspect
// finds what is on the disk, and disk/fsread reads the file systems.
//
// This package itself holds what they share: sectors and identifiers. All of
// them give the same bytes for the same input.
package disk

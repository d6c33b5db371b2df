// Package grub makes GRUB's boot code and puts it onto a disk that is a plain
// file. For BIOS, boot.img goes into the first 440 bytes and a core image into
// the sectors between the partition table and the first partition, or into a
// partition of its own; for UEFI, the core image is a program that firmware
// finds in EFI/BOOT.
//
// grub-install and grub-bios-setup want to open the devices of a running
// system, so the two images are patched and placed here by hand. The places
// to patch are those that GRUB's own headers give (include/grub/i386/pc/boot.h
// and include/grub/offsets.h). grub-mkimage makes the core image; it finds the
// file system by its UUID, wherever the disk is attached.
package grub

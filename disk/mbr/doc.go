// Package mbr writes DOS partition tables (the master boot record) of up to
// four primary partitions, in its own code and without a device.
//
// The first sector is shared: bytes 0–439 are boot code and belong to the
// boot loader (disk/grub), 440–511 are the disk signature, the table and the
// mark 55 AA and belong to this package. Neither touches the other's bytes.
package mbr

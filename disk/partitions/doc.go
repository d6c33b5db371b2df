// Package partitions reads the partition table of a disk, GPT or DOS with
// logical partitions, as the UEFI specification (chapter 5) and common practice
// describe them. The disk is not trusted: checksums are compared, numbers are
// bounded, chains of logical partitions end.
//
// A GPT whose first copy is damaged is read from the second at the end of the
// disk. Ranges that leave the disk or overlap are reported by Table.Problems,
// not refused: whoever looks at a broken image wants to see what it says.
package partitions

// Package vpc writes and reads disk images in the format of Virtual PC and Azure, VHD,
// fixed and dynamic, as Microsoft's Virtual Hard Disk Image Format Specification
// describes it. QEMU calls the format vpc.
//
// A fixed image is the raw disk with a footer. A dynamic one leaves out blocks
// of 2 MiB that hold zeros. Size, time and identifier are given, so that the
// same disk gives the same file; readers are told to take the size and not the
// geometry, which would round it.
package vpc

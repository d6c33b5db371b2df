// Package image opens the files that hold a disk, whatever container format
// and compression they have, and gives the disk in them to be read.
//
// The kind is told from the content and never from the name. Raw and qcow2
// files are read where they are; what is compressed as a whole is unpacked to a
// sparse temporary file, and so are formats that only qemu-img reads. Files are
// not trusted: an image that names other files, as one with a backing file
// does, is refused.
package image

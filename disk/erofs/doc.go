// Package erofs writes an EROFS file system, which is read-only and as small as
// its content, from the content of a directory: no device, no mount, no program
// of the build root.
//
// The form is that of the kernel's documentation (filesystems/erofs) and of
// fs/erofs/erofs_fs.h, without compression: inodes of 64 bytes one after the
// other, each with its attributes and, where it fits into the same block, the
// end of its data; then whole blocks of data. Large files consist of chunks, so
// that holes take nothing. Places of inodes follow from names and sizes, so
// that everything is written once. The same content gives the same bytes.
//
// Kernels from 5.15 on read it; GRUB does not before 2.14.
package erofs

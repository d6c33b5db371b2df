// Package image opens the files that hold a disk, whatever container format
// and compression they have, and gives the disk in them to be read.
//
// The kind is told from the content and never from the name. All formats are
// read here, where the file is, and no other program sees a file of a user's in
// any of them; what is compressed as a whole is unpacked to a sparse temporary
// file, once its beginning shows that there is an image in it. Files are not
// trusted: an image that names other files, as one with a backing file does, is
// refused, and what a small file may cost has bounds (disk/limit).
package image

// Package blocks is what the readers of image formats have in common: a disk is
// made of blocks of one size, and tables in the file say where each of them is.
//
// A file is not trusted. Tables are read piece by piece when they are needed, so
// that a header that promises much takes no memory, and a part of the file that
// would be used for two blocks of the disk is an error: else a small file could
// hold an endless disk.
package blocks

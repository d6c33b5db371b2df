// Package content is what goes into a file system: a directory, or the part of
// it below a mount point, with the extended attributes of a ledger.
//
// Load reads everything but the data of files, once, and brings it into the
// form in which every image has it: names sorted, times whole seconds and not
// later than the epoch, several names of one file brought together,
// capabilities free of the builder's user namespace, access control lists that
// follow the mode. Directories that other file systems are mounted on are there
// and empty, so that a tree is split over several file systems without a copy.
// The writers of file systems (disk/vfat, disk/xfs, …) turn that into bytes.
//
// A tree is hostile: no step of the walk and no open follows a link.
package content

// Package vmdk writes and reads disk images in VMware's format, version 4 of its sparse
// extents, in all forms that VMware's Virtual Disk Format Technical Note names
// for disks in files: one growing file, one compressed file that is meant to be
// read from start to end, or raw data beside a description, each of the first
// and the last also in pieces of 2 GiB.
//
// What would be random, the content identifier, is given, so that the same disk
// gives the same files. Grains are compressed in parallel and written in order.
package vmdk

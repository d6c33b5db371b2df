// Package vdi writes and reads disk images in VirtualBox's VDI format, version 1.1,
// growing as data is written to them. Blocks of 1 MiB that hold zeros take no
// space. The identifiers of the image are given, so that the same disk gives
// the same file.
package vdi

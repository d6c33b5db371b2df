// Package vhdx writes and reads disk images in Hyper-V's VHDX format, growing as data is
// written to them, as Microsoft's specification MS-VHDX describes it. Blocks of
// 1 MiB that hold zeros take no space. The identifiers of the image are given,
// so that the same disk gives the same file.
package vhdx

// Package uki puts a Linux kernel, its initrd and its command line into one
// program for UEFI firmware, a unified kernel image: sections are appended to a
// stub that systemd brings, which finds them in its own image and starts the
// kernel. The sections and their order are those of the UAPI group's
// specification of unified kernel images; they are laid out as ukify does it.
//
// The format is PE/COFF (Microsoft's "PE Format"), of which only the headers
// are read and written. The same input gives the same bytes. Nothing is signed,
// and a stub that is signed is refused, as its signature would not hold.
package uki

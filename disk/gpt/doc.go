// Package gpt writes GUID partition tables (UEFI Specification 2.10, 5.3): the
// protective table in the first sector, the header and its entries behind it,
// and their copies at the end of the disk.
//
// Everything is given by the caller, identifiers too, so that the same table
// gives the same bytes. The boot code in the first 440 bytes is left alone.
package gpt

// Package lvm writes the metadata of LVM2 onto a physical volume: one volume
// group of one physical volume, with linear logical volumes that lie one after
// the other. No device and no program of LVM is needed, and no locks or files
// in /etc are touched.
//
// The form is the one of lvm2's format_text: a label in the second sector, an
// area with the metadata as text behind it, data from the first MiB on (lvm2's
// lib/format_text/layout.h and lib/label). Identifiers are derived, so that the
// same options give the same bytes.
package lvm

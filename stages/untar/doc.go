// Package untar reads archives of tar(1) as GNU tar does: the forms of GNU,
// POSIX (pax) and Unix V7, with global headers, sparse files in every form that
// GNU tar writes, and types of members that are not known.
//
// The standard library's reader hides where the holes of sparse files are, does
// not apply global headers, and knows fewer types.
package untar

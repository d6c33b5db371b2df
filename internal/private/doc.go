// Package private keeps directories and files for one user: it makes them so
// that nobody else can enter, and refuses those that somebody else has prepared.
//
// A store is such a directory. What lies in it is run and written by root: a
// checkout or a directory below /tmp that brings one along must not decide which
// program that is, nor which file.
package private

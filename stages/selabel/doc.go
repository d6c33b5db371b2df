// Package selabel finds the SELinux labels that a policy gives to paths.
//
// A policy's file_contexts has a line for each specification: a regular
// expression over whole paths, a type of file, a label. Parse reads it with
// the files that belong to it, and Lookup returns what setfiles(8) would set:
// of all specifications that match, the last one of those that name a single
// path, or else the last one of the others. Nothing is read from a kernel or
// from the machine on which it runs.
//
// The policy is taken from a tree and may be hostile: its size, that of its
// expressions and the work for all lookups are bounded.
package selabel

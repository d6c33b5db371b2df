// Package depcheck holds the tests of the project's shape: which package may
// import which, how long a file or a function may be, and that nothing in the
// repository names what only one machine has.
package depcheck

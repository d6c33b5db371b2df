// Package stub keeps a builder's resolv.conf and hosts out of a tree that is
// the root of a step.
//
// A builder binds its own files over /etc/resolv.conf and /etc/hosts. A
// program of the tree can then neither rename nor replace the two names, and
// what it meant to do is lost. Prepare, in the step before, puts the tree's
// own files aside and dangling links into /dev in their place: the builder
// follows them, so that its binds land on the step's own /dev. Restore, the
// first act inside the step, puts the tree's files back. Lend gives a program
// that has the network the builder's.
package stub

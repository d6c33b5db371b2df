// Package unix is the part of golang.org/x/sys/unix that modules use, so that the
// packages of the modules compile for every system that the command line is for.
//
// The command line needs to know modules: their names, their options, and what is
// wrong with these. It never runs them: that is the work of the runners, in steps,
// which are Linux. There the functions are those of golang.org/x/sys/unix, with
// the same names and types. Elsewhere they return ErrUnsupported, and nothing
// calls them (see module.Does).
//
// Code of the command line that does run everywhere does not use this package.
package unix

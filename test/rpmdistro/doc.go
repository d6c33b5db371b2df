// Package rpmdistro makes an RPM distribution out of a configured Debian
// system, for tests: where no mirror of a real one can be reached, and because
// no real one has all that a package may do in one place.
//
// The tree is split along dpkg's file lists. Each package becomes one of one
// generated spec, with its files, owners, modes and dependencies; files that
// belong to none, because a maintainer script has made them, go into the
// package filesystem. No maintainer script has to run again. What is hard for
// a program that installs packages is then added on purpose (see Special and
// Bad). Packages and metadata are signed by a key that is made for it.
//
// The program in the directory module is an assembler for osbuildkit's --libdir:
// the distribution is made in a step, by the rpmbuild and createrepo_c of a build
// root, and nothing is needed on the machine that tests.
package rpmdistro

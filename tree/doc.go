// Package tree reads and writes files inside the tree of an operating system
// image without ever following a link out of it.
//
// A tree is hostile input: /etc may be a link to ../../etc, and an absolute
// link in it means "from the root of the tree", as it does once the system
// has booted. A Root resolves every path the way chroot(2) would, and then
// works through os.Root, which refuses whatever would still leave the
// directory. Names are slash separated and may start with a slash; "" and
// "/" name the root itself.
//
// Stages use this package for every access to the tree.
package tree

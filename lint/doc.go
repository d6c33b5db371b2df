// Package lint looks for what is valid in a manifest and still worth a word:
// builds that cannot be repeated, systems that are open to everybody or do not
// boot, and parts that do nothing.
//
// Rules is the table of the rules; each is a function over the manifest with a
// text that says why it is there. The pages in docs/lint are made from the same
// table (internal/lintgen), so that a message, its address and its page agree.
// Rules look at types and options as JSON: they know modules that are the
// user's own or still to come, and none of them reads a file or the network.
//
// Run applies the rules. The command line and the frontend show what it finds,
// each in its own way.
package lint

//go:generate go run ../internal/lintgen

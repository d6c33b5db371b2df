// Package ledger keeps the metadata of a tree that image layers lose.
//
// A cache blob or an image layer carries of a file's extended attributes only
// security.capability. Labels, access control lists and the attributes of
// users would be gone after a round trip through a cache, and setting some of
// them needs privilege. So they stand in a ledger beside the tree: a map from
// path to attributes, which is a small mount of its own in the steps that read
// or write it. Harvest takes from a tree's files what a program has set on
// them, other writers use Set, and assemblers put all of it into the file
// system that they make.
package ledger

// Package stages holds the built-in stages that change files of a tree, one
// file each: hostname.go is org.osbuild.hostname. The stages that install
// packages are in package packages below it.
//
// Every stage works natively in Go, through package tree, so that most of them
// need neither a build root nor a program of the tree, and none can be led
// out of the tree by a link in it. A stage first checks its options, then what
// it needs of the tree, and only then writes; it touches nothing else. Where
// osbuild's own behaviour is a bug, the comment of the stage says what this
// one does instead.
//
// The types of the options are the source of the JSON schemas in schema/,
// which "go generate ./..." writes.
package stages

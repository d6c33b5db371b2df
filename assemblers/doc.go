// Package assemblers holds the built-in assemblers: modules that turn a
// finished tree into the files that a build is for.
//
// An assembler runs in the build root, reads the tree, which it may not
// change, and writes its files into the output directory. Beside them it
// writes SHA256SUMS in the format of sha256sum, so that whoever has a copy
// already need not fetch or read the files to know. It stands on the packages
// below disk/, which need neither devices nor privileges.
//
// Each assembler has its file, named as the assembler, and registry.go lists
// them all.
package assemblers

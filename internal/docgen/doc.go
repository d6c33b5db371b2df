// Docgen writes docs/commands.md, the page about the commands and their flags:
//
//	go run ./internal/docgen [ROOT]
//
// ROOT is the root of the repository, by default the directory above the
// current one that holds go.mod. The page is committed; a test fails when it
// differs from the commands.
package main

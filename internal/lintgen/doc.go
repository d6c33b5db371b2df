// Lintgen writes the pages about the rules of package lint, docs/lint/NAME.md,
// and the page that lists them:
//
//	go run ./internal/lintgen [ROOT]
//
// ROOT is the root of the repository, by default the directory above the
// current one that holds go.mod. The pages are committed; a test fails when
// they differ from the rules.
package main

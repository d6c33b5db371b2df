// Package docs tests README.md and the pages below docs against the code.
//
// What a page names has to exist: files, headings, commands, flags, environment
// variables, build arguments, targets, modules, rules, tests. What exists has to
// be named: commands, flags, variables, arguments, targets, contexts, rules,
// modules, sources, targets of make. Examples have to pass the checker. Sentences
// have to be short.
//
// The tests take what exists from the code itself, so that something new fails
// them until a page names it. The table of exceptions is in exceptions_test.go.
package docs

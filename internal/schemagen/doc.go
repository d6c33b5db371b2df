// Schemagen writes the JSON schemas of the options of all built-in modules,
// as schema/NAME.json beside the modules:
//
//	go run ./internal/schemagen [ROOT]
//
// ROOT is the root of the repository, by default the directory above the
// current one that holds go.mod. The schemas (draft 2020-12, without
// references to other files) come from the types of the options, and their
// descriptions from the doc comments of the fields. They are committed; a
// test fails when they differ from the types.
//
// A type may say what struct tags cannot: a method JSONSchemaText() string
// gives its whole schema, a method KeyPattern() string on a map gives the
// regular expression for its keys.
package main

// Modulegen writes what is told about the built-in stages and assemblers to
// people and to editors: the pages docs/modules/NAME.md with the one that lists
// them, and the JSON schema of whole manifests, schema/osbuildkit.schema.json:
//
//	go run ./internal/modulegen [ROOT]
//
// ROOT is the root of the repository, by default the directory above the
// current one that holds go.mod. Both are made from the catalog, and so from
// the types of the options by way of schemagen, which has to run before. They
// are committed; a test fails when they differ from the modules.
package main

// Package manifest reads pipeline files.
//
// A manifest is JSON in one of osbuild's formats: the form of 2019, whose top
// level is a pipeline, or format v1 with "pipeline" and "sources". Load checks
// it against the modules that exist, reports everything that is wrong at once
// with file, line, column and JSON pointer, computes osbuild's ids, and lowers
// it to one model, Manifest, that the rest of the project works on. The model
// is the general one of format v2: named pipelines, each with a build root.
//
// The package is pure: it reads no file and knows nothing of BuildKit.
package manifest

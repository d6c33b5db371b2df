// Package cli is the command line.
//
// It parses flags (root.go, build.go), opens an engine, runs the frontend in
// this process against it (session.go), and puts the files of the result in
// their place (download.go, outputs.go). Everything that decides how an image
// is built lies in the packages manifest, llb and frontend; what a person sees
// and types lies here.
package cli

// Made from the commands, for people:
//go:generate go run ../docgen

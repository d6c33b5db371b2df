// Package frontend is the glue between BuildKit's gateway and the graph.
//
// Build reads the manifest and the options the way every BuildKit frontend
// does (dockerui), loads and checks it, lets the package llb make the graph,
// and solves it. The command line runs the same function in its own process;
// the frontend image runs it inside a builder. What differs between the two
// is in Config: where the runner binaries come from, and what only a client
// knows, such as its mirrors and its stored trees.
package frontend

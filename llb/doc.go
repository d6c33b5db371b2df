// Package llb turns a manifest into BuildKit's graph (LLB).
//
// A Graph makes one state for each pipeline: its tree and its ledger. Every
// stage is one exec step without network; what differs between them is the
// sandbox (step.go). Package stages are several steps, because BuildKit's own
// sources do the downloading (debian.go, source.go). The build root of a
// pipeline is another pipeline's tree, or the toolbox (buildroot.go).
//
// The package solves nothing. Where the graph depends on what a step has found
// out, such as the list of packages to download, it asks a Resolver for the
// content of a file, and the frontend is the one that solves.
package llb

// Package runners holds the runner binaries inside the command line.
//
// `make build` puts one compressed binary for each group of modules and each
// architecture into the directory bin before the command line is built, and
// they are embedded from there. They are built reproducibly: their bytes are
// part of the cache key of every step they run.
package runners

//go:build !runner_programs

// Command osbuildkit-runner runs one module inside a step. It is built once for
// each group of modules, with the build tag runner_GROUP, so that a change to
// one group does not change the cache key of the others' steps. Without a tag
// it carries all built-in modules, for use by hand.
package main

import (
	"os"

	"github.com/osbuildkit/osbuildkit/internal/runner"
)

func main() {
	os.Exit(runner.Main(modules(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

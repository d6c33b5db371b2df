// Command osbuildkit-runner runs one module inside a step.
//
// It is built once for each group of modules, with the build tag
// runner_stages, runner_packages or runner_assemblers, so that a change to one
// group does not change the cache key of the others' steps. Without a tag it
// carries all modules, for use by hand.
package main

import (
	"os"

	"github.com/osbuildkit/osbuildkit/internal/runner"
)

func main() {
	os.Exit(runner.Main(modules(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

//go:build runner_programs

package main

import (
	"os"

	"github.com/osbuildkit/osbuildkit/internal/program"
)

// The runner of the user's own modules carries none. All goes to one output:
// the builder keeps no order between two, and what is said about the end of a
// program belongs after what it has said itself.
func main() {
	os.Exit(program.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stdout))
}

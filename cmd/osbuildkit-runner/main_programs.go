//go:build runner_programs

package main

import (
	"os"

	"github.com/osbuildkit/osbuildkit/internal/program"
)

// The runner of the user's own modules carries none.
func main() {
	os.Exit(program.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

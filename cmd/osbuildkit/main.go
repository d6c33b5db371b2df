// Command osbuildkit builds operating system images with BuildKit.
package main

import (
	"os"

	"github.com/osbuildkit/osbuildkit/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }

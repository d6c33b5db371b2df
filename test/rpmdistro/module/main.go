// Command module is an assembler for osbuildkit's --libdir: it makes the tree,
// a configured Debian system, into the RPM distribution of package rpmdistro.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in struct {
		Tree      string            `json:"tree"`
		OutputDir string            `json:"output_dir"`
		Options   rpmdistro.Options `json:"options"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return rpmdistro.Make(in.Tree, in.OutputDir, in.Options, time.Unix(epoch, 0), os.Stderr)
}

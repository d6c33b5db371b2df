// Command usermodule is a module as a user may write one in Go: a stage that
// looks at the tree that it runs in, and an assembler, by its name.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

type input struct {
	Tree      string `json:"tree"`
	OutputDir string `json:"output_dir"`
	Options   struct {
		Filename string `json:"filename"`
	} `json:"options"`
}

func main() {
	var in input
	err := json.NewDecoder(os.Stdin).Decode(&in)
	if err == nil && strings.HasSuffix(os.Args[0], "look") {
		err = look(in)
	} else if err == nil {
		err = assemble(in)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// look writes what it sees of the tree into a file.
func look(in input) error {
	var seen strings.Builder
	fmt.Fprintln(&seen, "tree", in.Tree)
	for _, name := range []string{"/etc/hosts", "/etc/resolv.conf", "/proc/1/comm"} {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		fmt.Fprintf(&seen, "%s: %s", name, data)
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, l := range links {
		fmt.Fprintln(&seen, "interface", l.Name)
	}
	fmt.Fprintln(&seen, "environment", len(os.Environ()))
	return os.WriteFile("/seen", []byte(seen.String()), 0o644)
}

// assemble writes a file of the tree into the output directory, and sees that
// the tree cannot be changed.
func assemble(in input) error {
	if err := os.WriteFile(filepath.Join(in.Tree, "x"), nil, 0o644); err == nil {
		return errors.New("the tree can be written to")
	}
	data, err := os.ReadFile(filepath.Join(in.Tree, "etc/motd"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(in.OutputDir, in.Options.Filename), data, 0o644)
}

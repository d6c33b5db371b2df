package stages

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// TestMain lets the program of the tests stand for the programs that stages
// run in a tree: it needs no library there.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "sh":
		os.Exit(standInShell(os.Args[1:]))
	case firewallCmd:
		os.Exit(standInFirewall(os.Args[1:]))
	case localedef:
		os.Exit(standInLocaledef(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// standInShell runs a script of few words.
func standInShell(args []string) int {
	data, err := os.ReadFile(args[len(args)-1])
	if err != nil {
		fmt.Println(err)
		return 99
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(f[0], "#"):
		case f[0] == "echo":
			fmt.Println(os.Expand(strings.Join(f[1:], " "), os.Getenv))
		case f[0] == "write":
			err = errors.Join(err, os.WriteFile(f[1], []byte(f[2]), 0o644))
		case f[0] == "cat":
			data, rerr := os.ReadFile(f[1])
			fmt.Println(string(data))
			err = errors.Join(err, rerr)
		case f[0] == "attribute":
			err = errors.Join(err, syscall.Setxattr(f[1], f[2], []byte(f[3]), 0))
		case f[0] == "rm":
			err = errors.Join(err, os.Remove(f[1]))
		case f[0] == "kill":
			err = errors.Join(err, syscall.Kill(os.Getpid(), syscall.SIGKILL))
		case f[0] == "exit":
			return int(f[1][0] - '0')
		}
	}
	if err != nil {
		fmt.Println(err)
		return 98
	}
	return 0
}

// standInFirewall notes its calls in a file, and knows the zone "known" only.
func standInFirewall(args []string) int {
	f, err := os.OpenFile("/etc/firewalld/calls", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Println(err)
		return 99
	}
	defer f.Close()
	fmt.Fprintln(f, strings.Join(args, " "))
	if err := os.WriteFile("/"+firewallLog, []byte("now"), 0o640); err != nil {
		fmt.Println(err)
		return 99
	}
	switch {
	case slices.Contains(args, "--service=unknown"):
		fmt.Println("Error: INVALID_SERVICE: unknown")
		return 101
	case strings.HasPrefix(args[0], "--info-zone=") && args[0] != "--info-zone=known":
		return invalidZone
	}
	return 0
}

// standIn puts the program of the tests under a name into the tree, and skips
// the test where it cannot be run there.
func standIn(t *testing.T, dir, name string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("running a program with another root needs root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A dynamic one, as the compiler of C makes it, finds no libraries there.
	if program, err := elf.Open(self); err != nil {
		t.Fatal(err)
	} else if libraries, _ := program.ImportedLibraries(); len(libraries) > 0 {
		t.Skip("running this program with another root needs CGO_ENABLED=0, which make sets")
	}
	place := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Link(self, place) == nil {
		return
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	treetest.Program(t, place, data)
}

// readTree is the tree without a stand-in.
func readTree(t *testing.T, dir, program string) treetest.Tree {
	t.Helper()
	return treetest.Read(t, dir).Without(program)
}

// fakeTool writes a program that notes its arguments, in which the directories
// of the test become words, and the file that follows -- if there is one.
func fakeTool(t *testing.T, buildRoot, name, more string) {
	t.Helper()
	text := "#!/bin/sh\necho \"${0##*/} $*\" >>" + buildRoot + "/calls\n" + more + "\n"
	treetest.Program(t, filepath.Join(buildRoot, "usr/bin", name), []byte(text))
}

// calls returns what fake tools have noted.
func calls(t *testing.T, buildRoot string, words ...string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(buildRoot, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(words...).Replace(string(bytes.TrimSpace(data)))
	return strings.Split(text, "\n")
}

package test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Readme is the part of README.md that a reader follows first: a manifest, and
// what is typed in one terminal and then in another.
type Readme struct {
	Manifest string
	// Terminals holds the lines of each, commands and what they print.
	Terminals [2][]string
}

// ReadReadme reads the first part of the file: of the blocks of each language
// the first are meant.
func ReadReadme(file string) (*Readme, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	blocks := map[string][]string{}
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$").FindAllStringSubmatch(string(data), -1) {
		blocks[m[1]] = append(blocks[m[1]], m[2])
	}
	r := &Readme{}
	if len(blocks["json"]) == 0 || len(blocks["console"]) < len(r.Terminals) {
		return nil, fmt.Errorf("%s has %d blocks of JSON and %d of a console", file, len(blocks["json"]), len(blocks["console"]))
	}
	r.Manifest = blocks["json"][0]
	for i := range r.Terminals {
		r.Terminals[i] = strings.Split(strings.TrimSpace(blocks["console"][i]), "\n")
	}
	return r, nil
}

// Command returns the command of a terminal that begins with some words.
func (r *Readme) Command(terminal int, words string) string {
	i := slices.IndexFunc(r.Terminals[terminal], func(line string) bool { return strings.HasPrefix(line, "$ "+words+" ") })
	if i < 0 {
		return ""
	}
	return r.Terminals[terminal][i][2:]
}

// Printed returns what follows a text in a line that the first terminal shows, up to an ellipsis.
func (r *Readme) Printed(before string) string {
	for _, line := range r.Terminals[0] {
		if rest, ok := strings.CutPrefix(line, before); ok {
			return strings.TrimSuffix(rest, "…")
		}
	}
	return ""
}

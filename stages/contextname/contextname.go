// Package contextname knows the names of files in the build context: which ones a
// stage may give, and which a stage org.osbuild.copy does give.
package contextname

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Source is the type of source of org.osbuild.copy that has files of the context.
const Source = "context"

// maxName bounds a name, as Linux does.
const maxName = 4095

// Check reports why a file of the context cannot be named so. The builder is sent
// what matches, so a name with signs of a pattern would be one.
func Check(name string) error {
	switch parts := strings.Split(name, "/"); {
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("%s is not relative to the context: leave out the slash at the beginning", strconv.Quote(name))
	case slices.Contains(parts, ".."):
		return fmt.Errorf("%s leads out of the context: name a file in it, or give another context with the build", strconv.Quote(name))
	case strings.ContainsAny(name, "*?[]^\\\x00") || strings.HasPrefix(path.Clean(name), "!"):
		return fmt.Errorf("%s is not a plain name: the signs *, ?, [, ], ^, \\ and a ! at the beginning are those of patterns",
			strconv.Quote(name))
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0xfffd }) || strings.TrimSpace(name) != name:
		return fmt.Errorf("%s has a control character, a space at an end or invalid UTF-8", strconv.Quote(name))
	case len(name) > maxName:
		return fmt.Errorf("the name is longer than %d bytes: %s…", maxName, strconv.Quote(name[:40]))
	}
	return nil
}

// Join returns the name of what is copied: from is a path below that of the source.
// "." stands for all of the context.
func Join(source, from string) string { return path.Join(".", source, "./"+from) }

// Path is a file or directory of the context that a stage copies.
type Path struct {
	// Name is its name, relative to the context.
	Name string
	// Pointer leads to where it is named, from the options of the stage.
	Pointer string
}

// Paths lists what the options of a stage org.osbuild.copy copy from the context, in
// their order. The options must have been checked.
func Paths(options json.RawMessage) []Path {
	var o struct {
		Source struct{ Type, Path string }
		Paths  []struct{ From string }
	}
	if json.Unmarshal(options, &o) != nil || o.Source.Type != Source {
		return nil
	}
	var out []Path
	for i, p := range o.Paths {
		at := "/source/path"
		if strings.Trim(p.From, "/") != "" {
			at = fmt.Sprintf("/paths/%d/from", i)
		}
		out = append(out, Path{Join(o.Source.Path, p.From), at})
	}
	return out
}

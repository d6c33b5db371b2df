package packages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/tree"
)

// Where the package sources stand in a tree.
const (
	sourcesList = "etc/apt/sources.list"
	sourcesDir  = "etc/apt/sources.list.d"
	debSources  = "etc/apt/sources.list.d/debian.sources"
)

// checkSource reports what is wrong with one item of the option sources.
func checkSource(s string) error {
	trimmed := strings.TrimSpace(s)
	switch {
	case hasControl(strings.NewReplacer("\n", "", "\t", "").Replace(trimmed)):
		return errors.New("it holds a control character")
	case strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "deb ") || strings.HasPrefix(trimmed, "deb-src "):
		if strings.Contains(trimmed, "\n") {
			return errors.New("a line of sources.list must be one line; give each line as an item of its own")
		}
		return nil
	case strings.Contains(trimmed, ":"):
		stanzas, err := debian.ParseControl([]byte(trimmed))
		if err != nil || len(stanzas) != 1 || !stanzas[0].Has("URIs") || !stanzas[0].Has("Types") {
			break
		}
		return nil
	}
	return errors.New("want a line \"deb URI SUITE COMPONENTS\" or a stanza \"Types: deb\\nURIs: …\\nSuites: …\"")
}

// writeSources makes the items the only package sources of the tree.
func writeSources(t *tree.Root, items []string) error {
	var lines, stanzas []string
	for _, s := range items {
		if err := checkSource(s); err != nil {
			return fmt.Errorf("source %q: %w", s, err)
		}
		s = strings.TrimSpace(s)
		if strings.HasPrefix(s, "deb") || strings.HasPrefix(s, "#") {
			lines = append(lines, s)
		} else {
			stanzas = append(stanzas, s)
		}
	}
	if err := t.MkdirAll(sourcesDir, 0o755); err != nil {
		return err
	}
	entries, err := t.ReadDir(sourcesDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".list") || strings.HasSuffix(e.Name(), ".sources") {
			if err := t.Remove(path.Join(sourcesDir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := replaceOrRemove(t, sourcesList, strings.Join(lines, "\n")); err != nil {
		return err
	}
	return replaceOrRemove(t, debSources, strings.Join(stanzas, "\n\n"))
}

func replaceOrRemove(t *tree.Root, name, text string) error {
	if text == "" {
		if err := t.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return t.ReplaceFile(name, []byte(text+"\n"), 0o644, 0, 0)
}

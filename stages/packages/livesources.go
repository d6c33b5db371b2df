package packages

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
)

// The package apt of a distribution has an example of its sources: where its
// suites are, for everyone and always. The sources of a tree are made from it, so
// that no address is this program's own.
const (
	examplesDir = "usr/share/doc/apt/examples"
	maxExample  = 64 << 10
)

// keepExample keeps the text of a member of a package that is an example of
// sources, also if it is not to be unpacked, and returns a reader of the member.
func (w *treeWriter) keepExample(name string, h *tar.Header, r io.Reader, rec *record) (io.Reader, error) {
	dir, base := path.Split(name)
	if rec.name != "apt" || dir != examplesDir+"/" || h.Typeflag != tar.TypeReg || h.Size > maxExample ||
		base != path.Base(sourcesList) && path.Ext(base) != ".sources" {
		return r, nil
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if w.examples == nil {
		w.examples = map[string]string{}
	}
	w.examples[base] = string(data)
	return bytes.NewReader(data), nil
}

// liveSources writes the sources of the tree: the suites that it was made from, at
// the addresses that the distribution names.
func (w *treeWriter) liveSources(in *module.Input, list *debian.PackageList) error {
	name, text := liveSources(w.examples, list.Repositories)
	if text == "" {
		if slices.ContainsFunc(list.Packages, func(p debian.Package) bool { return p.Name == "apt" }) {
			in.Logf("the package apt has no example of sources for these suites: the tree has none, unless \"sources\" names some")
		}
		return nil
	}
	file := path.Join(path.Dir(sourcesList), name)
	if name != path.Base(sourcesList) {
		file = path.Join(sourcesDir, name)
	}
	if err := w.mkdirAll(path.Dir(file)); err != nil {
		return err
	}
	return w.write(file, []byte(text), 0o644)
}

// liveSources makes the sources for repositories out of the examples of a
// package apt. It returns the name of the example that was used, and the text,
// in the form of that example.
func liveSources(examples map[string]string, repos []debian.Repository) (name, text string) {
	names := slices.Sorted(maps.Keys(examples))
	// Of both forms the newer one.
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(path.Ext(b), path.Ext(a)) })
	for _, name := range names {
		entries, err := debian.ParseSources(name, []byte(examples[name]))
		if err != nil {
			continue
		}
		entries = slices.DeleteFunc(entries, func(e debian.SourceEntry) bool { return e.Type != "deb" })
		if text := sourcesFor(entries, repos); text != "" {
			return name, text
		}
	}
	return "", ""
}

// sourcesFor takes for each repository the entry of the example that has a suite
// of its kind. The example may be of another release: the one in Debian's unstable
// names the stable suite.
func sourcesFor(example []debian.SourceEntry, repos []debian.Repository) string {
	var out []debian.SourceEntry
	for _, r := range repos {
		e := entryFor(example, suiteKind(r.Suite))
		if e == nil {
			continue
		}
		entry := *e
		entry.Suites, entry.Components = []string{r.Suite}, r.Components
		if n := len(out) - 1; n >= 0 && entry.OneLine == "" && out[n].Same(entry) {
			out[n].Suites = append(out[n].Suites, r.Suite)
			continue
		}
		out = append(out, entry)
	}
	var text []string
	separator := "\n"
	for _, e := range out {
		if e.OneLine == "" {
			separator = "\n\n"
		}
		text = append(text, e.String())
	}
	if len(text) == 0 {
		return ""
	}
	return strings.Join(text, separator) + "\n"
}

// suiteKind says what a suite is to its release: "" for the suite itself,
// "security", or what its name ends in, such as "updates".
func suiteKind(suite string) string {
	if debian.IsSecurity(suite) {
		return "security"
	}
	_, kind, _ := strings.Cut(suite, "-")
	return kind
}

// entryFor returns the entry of a kind of suite. Where the example has none, the
// address of the release itself has it, unless it is for security updates.
func entryFor(example []debian.SourceEntry, kind string) *debian.SourceEntry {
	for _, k := range []string{kind, ""} {
		for i := range example {
			if slices.ContainsFunc(example[i].Suites, func(s string) bool { return suiteKind(s) == k }) {
				return &example[i]
			}
		}
		if kind == "security" {
			break
		}
	}
	return nil
}

package debian

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"

	"github.com/osbuildkit/osbuildkit/internal/expand"
)

// Bounds of a Packages file. Debian's main has 68 000 packages in 57 MB.
const (
	maxIndexSize    = 2 << 30
	maxIndexEntries = 2_000_000
)

// Entry is what an index says of one package.
type Entry struct {
	Package
	Priority  string
	Essential bool
	PreDepends, Depends, Recommends,
	Provides, Conflicts, Breaks string
	// provided and excluded are the parsed fields, once they were asked for.
	provided, excluded *[]Relation
}

// Index holds the newest version of each package of some repositories.
type Index struct {
	arch    string
	entries map[string]*Entry
	names   []string
	count   int
	// provided are the packages that provide a name, once that was asked for.
	provided map[string][]*Entry
}

// NewIndex returns an empty index for the architecture.
func NewIndex(arch string) *Index {
	return &Index{arch: arch, entries: map[string]*Entry{}}
}

// Len returns the number of packages.
func (x *Index) Len() int { return len(x.entries) }

// Lookup returns the newest version of the package, or nil.
func (x *Index) Lookup(name string) *Entry { return x.entries[name] }

// Names lists all packages, sorted.
func (x *Index) Names() []string {
	if len(x.names) != len(x.entries) {
		x.names = make([]string, 0, len(x.entries))
		for name := range x.entries {
			x.names = append(x.names, name)
		}
		sort.Strings(x.names)
	}
	return x.names
}

// Decompress returns a reader of the content of a file by the ending of its
// name: .xz, .gz, .zst, .bz2, or anything else for a file that is not compressed.
func Decompress(name string, r io.Reader) (io.Reader, error) {
	x, err := expand.Open(expand.ByName(name), r, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return x, nil
}

// Read adds the packages of a Packages file, which must not be compressed, of
// the repository with the given index. Packages of other architectures are
// passed over. Of two packages with the same name the newer one is kept, and
// of equal versions the one that was read first.
func (x *Index) Read(repository int, r io.Reader) error {
	lr := &io.LimitedReader{R: r, N: maxIndexSize}
	s := newStanzaReader(lr)
	for {
		e := Entry{Package: Package{Repository: repository}}
		err := e.read(s)
		if errors.Is(err, io.EOF) {
			if lr.N <= 0 {
				return fmt.Errorf("the index is larger than %d MiB", maxIndexSize>>20)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if e.Architecture != x.arch && e.Architecture != "all" {
			continue
		}
		e.Path = CleanPath(e.Path)
		e.File = e.DefaultFile()
		if err := e.Package.check(); err != nil {
			return fmt.Errorf("line %d: %w", s.line, err)
		}
		if x.count++; x.count > maxIndexEntries {
			return fmt.Errorf("the index holds more than %d packages", maxIndexEntries)
		}
		if old := x.entries[e.Name]; old != nil {
			if c, err := CompareVersions(e.Version, old.Version); err != nil || c <= 0 {
				continue
			}
		}
		x.entries[e.Name] = &e
		x.provided = nil
	}
}

// read reads one stanza, keeping only the fields that matter here.
func (e *Entry) read(s *stanzaReader) error {
	var last *string
	// A field of many lines is gathered here.
	var text []byte
	finish := func() {
		if last != nil {
			*last = string(text)
		}
		last = nil
	}
	defer finish()
	return s.next(func(name, value []byte) error {
		if name == nil {
			if last != nil {
				text = append(text, value...)
			}
			return nil
		}
		finish()
		switch string(name) {
		case "Package":
			last = &e.Name
		case "Version":
			last = &e.Version
		case "Architecture":
			last = &e.Architecture
		case "Filename":
			last = &e.Path
		case "SHA256":
			last = &e.SHA256
		case "Priority":
			last = &e.Priority
		case "Pre-Depends":
			last = &e.PreDepends
		case "Depends":
			last = &e.Depends
		case "Recommends":
			last = &e.Recommends
		case "Provides":
			last = &e.Provides
		case "Conflicts":
			last = &e.Conflicts
		case "Breaks":
			last = &e.Breaks
		case "Essential":
			e.Essential = string(value) == "yes"
		case "Size":
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil {
				return fmt.Errorf("field Size: %q is no number", value)
			}
			e.Size = n
		}
		text = append(text[:0], value...)
		return nil
	})
}

// providers lists the packages other than name itself that provide it, the
// most important one first and then by name.
func (x *Index) providers(p Possibility) []*Entry {
	if x.provided == nil {
		x.provided = map[string][]*Entry{}
		for _, name := range x.Names() {
			e := x.entries[name]
			for _, r := range e.provisions() {
				if of := x.provided[r[0].Name]; len(of) == 0 || of[len(of)-1] != e {
					x.provided[r[0].Name] = append(of, e)
				}
			}
		}
	}
	var out []*Entry
	for _, e := range x.provided[p.Name] {
		if e.provides(p) {
			out = append(out, e)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return priority(out[i]) < priority(out[j]) })
	return out
}

// provides reports whether the package satisfies p by one of its Provides. A
// constraint on the version is satisfied by a versioned Provides only.
func (e *Entry) provides(p Possibility) bool {
	for _, r := range e.provisions() {
		if r[0].Name != p.Name {
			continue
		}
		if p.Op == "" || r[0].Op == "=" && p.Matches(r[0].Version) {
			return true
		}
	}
	return false
}

// provisions returns what the package provides; nothing if that is not valid.
func (e *Entry) provisions() []Relation {
	if e.Provides != "" && e.provided == nil {
		rels, err := ParseRelations(e.Provides)
		if err != nil {
			rels = nil
		}
		e.provided = &rels
	}
	if e.provided == nil {
		return nil
	}
	return *e.provided
}

// exclusions returns the relations that name what cannot be beside the package.
func (e *Entry) exclusions() []Relation {
	if e.excluded == nil {
		var all []Relation
		for _, field := range []string{e.Conflicts, e.Breaks} {
			if rels, err := ParseRelations(field); err == nil {
				all = append(all, rels...)
			}
		}
		e.excluded = &all
	}
	return *e.excluded
}

func priority(e *Entry) int {
	switch e.Priority {
	case "required":
		return 0
	case "important":
		return 1
	case "standard":
		return 2
	case "optional":
		return 3
	}
	return 4
}

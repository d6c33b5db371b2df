package debian

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Request says what a system is to consist of.
type Request struct {
	// Priorities adds all packages of these priorities, and every package
	// that is marked essential.
	Priorities []string
	// Packages adds these packages.
	Packages []string
	// Prefer lists packages that are taken wherever an alternative names
	// them, even if it names another one first.
	Prefer []string
}

// Solve returns the packages of the request with all that they depend on. It
// is a closure, not a search: each relation is satisfied by what is chosen
// already, else by the first alternative that exists, else by the most
// important package that provides one. Relations with one answer are followed
// before those with several, so the result does not hold two providers where
// one will do. That finds a consistent set for the base system of every
// Debian suite; a set with a conflict is an error, never a wrong result.
func (x *Index) Solve(req Request) (*PackageList, error) {
	s := &solver{index: x, chosen: map[string]*Entry{}, why: map[string]string{}, prefer: req.Prefer}
	asked := map[string]bool{}
	for _, name := range x.Names() {
		e := x.entries[name]
		// A package that is essential but not of priority required is one
		// that can stand in for another, so the priority decides.
		if slices.Contains(req.Priorities, e.Priority) && !s.replacedByPreferred(e) {
			asked[name] = true
			s.choose(e, "")
		}
	}
	if len(req.Priorities) > 0 && len(s.chosen) == 0 {
		return nil, fmt.Errorf("no package of priority %s in the %d packages of the repositories; are the right components given?", strings.Join(req.Priorities, ", "), x.Len())
	}
	for _, name := range req.Packages {
		e, err := s.named(name)
		if err != nil {
			return nil, err
		}
		asked[e.Name] = true
		s.choose(e, "")
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	if err := s.conflicts(); err != nil {
		return nil, err
	}
	list := &PackageList{}
	for name, e := range s.chosen {
		p := e.Package
		p.Automatic = !asked[name] && !e.Essential
		list.Packages = append(list.Packages, p)
	}
	list.Sort()
	return list, nil
}

type solver struct {
	index  *Index
	chosen map[string]*Entry
	// why maps a package to the one that needed it first.
	why    map[string]string
	prefer []string
	queue  []*Entry
	// later holds relations with several answers, in the order found.
	later []openRelation
	// virtual remembers the providers of a possibility.
	virtual map[string][]*Entry
}

type openRelation struct {
	from *Entry
	rel  Relation
}

func (s *solver) choose(e *Entry, why string) {
	if s.chosen[e.Name] != nil {
		return
	}
	s.chosen[e.Name] = e
	s.why[e.Name] = why
	s.queue = append(s.queue, e)
}

// named returns the package that the author asked for by name.
func (s *solver) named(name string) (*Entry, error) {
	if e := s.index.Lookup(name); e != nil {
		return e, nil
	}
	providers := s.providers(Possibility{Name: name})
	if len(providers) == 1 {
		return providers[0], nil
	}
	if len(providers) > 1 {
		var names []string
		for _, e := range providers {
			names = append(names, e.Name)
		}
		return nil, fmt.Errorf("package %q is a virtual one; name one of those that provide it: %s", name, strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("there is no package %q in the repositories%s", name, DidYouMean(name, s.index.Names()))
}

// replacedByPreferred reports whether a preferred package says that it
// conflicts with e: then e is left out of what a priority adds.
func (s *solver) replacedByPreferred(e *Entry) bool {
	for _, name := range s.prefer {
		p := s.index.Lookup(name)
		if p != nil && p != e && conflictWith(p, e) != "" {
			return true
		}
	}
	return false
}

func (s *solver) run() error {
	for {
		for len(s.queue) > 0 {
			e := s.queue[0]
			s.queue = s.queue[1:]
			if err := s.follow(e); err != nil {
				return err
			}
		}
		if len(s.later) == 0 {
			return nil
		}
		o := s.later[0]
		s.later = s.later[1:]
		if s.satisfied(o.rel) {
			continue
		}
		answers := s.answers(o.rel)
		if len(answers) == 0 {
			return s.unsatisfied(o.from, o.rel)
		}
		s.choose(answers[0], o.from.Name)
	}
}

// follow takes up the dependencies of one package.
func (s *solver) follow(e *Entry) error {
	for _, field := range []string{e.PreDepends, e.Depends} {
		rels, err := ParseRelations(field)
		if err != nil {
			return fmt.Errorf("package %s: %w", e.Name, err)
		}
		for _, rel := range rels {
			if s.satisfied(rel) {
				continue
			}
			answers := s.answers(rel)
			switch {
			case len(answers) == 0:
				return s.unsatisfied(e, rel)
			case len(answers) == 1:
				s.choose(answers[0], e.Name)
			default:
				s.later = append(s.later, openRelation{e, rel})
			}
		}
	}
	return nil
}

func (s *solver) satisfied(rel Relation) bool {
	for _, p := range rel {
		if !s.archOK(p) {
			continue
		}
		if e := s.chosen[p.Name]; e != nil && p.Matches(e.Version) {
			return true
		}
		for _, e := range s.providers(p) {
			if s.chosen[e.Name] != nil {
				return true
			}
		}
	}
	return false
}

// answers lists the packages that satisfy a relation, the best one first.
func (s *solver) answers(rel Relation) []*Entry {
	var out []*Entry
	for _, p := range rel {
		if !s.archOK(p) {
			continue
		}
		if e := s.index.Lookup(p.Name); e != nil && p.Matches(e.Version) {
			out = append(out, e)
			continue // a real package comes before those that provide it
		}
		out = append(out, s.providers(p)...)
	}
	for i, e := range out {
		if slices.Contains(s.prefer, e.Name) {
			copy(out[1:i+1], out[:i])
			out[0] = e
			break
		}
	}
	return out
}

func (s *solver) archOK(p Possibility) bool {
	return p.Arch == "" || p.Arch == "any" || p.Arch == "native" || p.Arch == s.index.arch
}

func (s *solver) providers(p Possibility) []*Entry {
	key := p.Name + " " + p.Op + " " + p.Version
	if found, ok := s.virtual[key]; ok {
		return found
	}
	if s.virtual == nil {
		s.virtual = map[string][]*Entry{}
	}
	found := s.index.providers(p)
	s.virtual[key] = found
	return found
}

// unsatisfied says which relation has no answer and who needed its package.
func (s *solver) unsatisfied(e *Entry, rel Relation) error {
	chain := e.Name
	for n, name := 0, s.why[e.Name]; name != "" && n < 20; n, name = n+1, s.why[name] {
		chain = name + " -> " + chain
	}
	var have []string
	for _, p := range rel {
		if found := s.index.Lookup(p.Name); found != nil {
			have = append(have, found.Name+" "+found.Version)
		}
	}
	hint := "no repository has such a package" + DidYouMean(rel[0].Name, s.index.Names())
	if len(have) > 0 {
		hint = "the repositories have " + strings.Join(have, ", ")
	}
	return fmt.Errorf("package %s %s needs %s: %s (needed by: %s)", e.Name, e.Version, rel, hint, chain)
}

// conflicts reports two chosen packages that exclude each other.
func (s *solver) conflicts() error {
	names := make([]string, 0, len(s.chosen))
	for name := range s.chosen {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, a := range names {
		// Of those that a excludes, the first by name.
		var other *Entry
		for _, rel := range s.chosen[a].exclusions() {
			p := rel[0]
			candidates := s.providers(p)
			if e := s.chosen[p.Name]; e != nil && p.Matches(e.Version) {
				candidates = append(slices.Clone(candidates), e)
			}
			for _, e := range candidates {
				if e.Name != a && s.chosen[e.Name] == e && (other == nil || e.Name < other.Name) {
					other = e
				}
			}
		}
		if other != nil {
			return fmt.Errorf("package %s %s conflicts with %s (%s); leave one of them out",
				a, s.chosen[a].Version, other.Name, conflictWith(s.chosen[a], other))
		}
	}
	return nil
}

// conflictWith returns the relation by which a excludes b, or nothing.
func conflictWith(a, b *Entry) string {
	for _, rel := range a.exclusions() {
		if p := rel[0]; p.Name == b.Name && p.Matches(b.Version) || b.provides(p) {
			return p.String()
		}
	}
	return ""
}

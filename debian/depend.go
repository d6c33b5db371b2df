package debian

import (
	"fmt"
	"strings"

	"pault.ag/go/debian/version"
)

// Possibility is one alternative of a relation: a package name with an
// optional architecture qualifier and version constraint.
type Possibility struct {
	Name string
	// Arch is the qualifier after the colon: "any", "native", an architecture
	// or empty.
	Arch string
	// Op is one of <<, <=, =, >=, >>, or empty if any version will do.
	Op      string
	Version string
}

// String returns the possibility as it is written in a control file.
func (p Possibility) String() string {
	s := p.Name
	if p.Arch != "" {
		s += ":" + p.Arch
	}
	if p.Op != "" {
		s += " (" + p.Op + " " + p.Version + ")"
	}
	return s
}

// Relation is a list of alternatives, the preferred one first.
type Relation []Possibility

// String returns the relation as it is written in a control file.
func (r Relation) String() string {
	parts := make([]string, len(r))
	for i, p := range r {
		parts[i] = p.String()
	}
	return strings.Join(parts, " | ")
}

// ParseRelations parses a field such as Depends or Provides of a binary
// package. Architecture lists and build profiles, which stand in source
// packages only, are an error.
func ParseRelations(field string) ([]Relation, error) {
	var out []Relation
	for _, rel := range strings.Split(field, ",") {
		if strings.TrimSpace(rel) == "" {
			continue
		}
		var r Relation
		for _, alt := range strings.Split(rel, "|") {
			p, err := parsePossibility(alt)
			if err != nil {
				return nil, err
			}
			r = append(r, p)
		}
		out = append(out, r)
	}
	return out, nil
}

func parsePossibility(text string) (Possibility, error) {
	text = strings.TrimSpace(text)
	var p Possibility
	name, rest, hasVersion := strings.Cut(text, "(")
	p.Name, p.Arch, _ = strings.Cut(strings.TrimSpace(name), ":")
	if !validName(p.Name) || p.Arch != "" && !validArch(p.Arch) {
		return p, fmt.Errorf("%q is no package relation", text)
	}
	if !hasVersion {
		return p, nil
	}
	inner, after, closed := strings.Cut(rest, ")")
	if !closed || strings.TrimSpace(after) != "" {
		return p, fmt.Errorf("%q is no package relation: want NAME (OP VERSION)", text)
	}
	inner = strings.TrimSpace(inner)
	n := len(inner) - len(strings.TrimLeft(inner, "<>="))
	p.Op, p.Version = inner[:n], strings.TrimSpace(inner[n:])
	switch p.Op {
	case "<":
		p.Op = "<="
	case ">":
		p.Op = ">="
	case "<<", "<=", "=", ">=", ">>":
	default:
		return p, fmt.Errorf("%q has no known operator: want <<, <=, =, >= or >>", text)
	}
	if _, err := version.Parse(p.Version); err != nil {
		return p, fmt.Errorf("%q: %w", text, err)
	}
	return p, nil
}

// Matches reports whether version v satisfies the constraint.
func (p Possibility) Matches(v string) bool {
	if p.Op == "" {
		return true
	}
	c, err := CompareVersions(v, p.Version)
	if err != nil {
		return false
	}
	switch p.Op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	default:
		return c > 0
	}
}

// CompareVersions orders two version numbers as dpkg does: negative if a is
// older than b, zero if they are equal, positive if a is newer.
func CompareVersions(a, b string) (int, error) {
	va, err := version.Parse(a)
	if err != nil {
		return 0, fmt.Errorf("version %q: %w", a, err)
	}
	vb, err := version.Parse(b)
	if err != nil {
		return 0, fmt.Errorf("version %q: %w", b, err)
	}
	return version.Compare(va, vb), nil
}

// ValidPackageName reports whether s can be the name of a Debian package.
func ValidPackageName(s string) bool { return validName(s) }

// validName reports whether s can be the name of a package: letters, digits
// and "+-.", beginning with a letter or digit. Capitals are not allowed by
// policy but occur in provided names.
func validName(s string) bool {
	if s == "" || len(s) > 200 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '+' && c != '-' && c != '.' && c != '_') {
			return false
		}
	}
	return true
}

// validArch reports whether s can be the name of an architecture.
func validArch(s string) bool {
	if s == "" || len(s) > 50 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (i == 0 || c != '-') {
			return false
		}
	}
	return true
}

// validVersion reports whether s is a version that is safe as a part of a
// file name once its colon is escaped.
func validVersion(s string) bool {
	if len(s) > 200 {
		return false
	}
	_, err := version.Parse(s)
	return err == nil && strings.TrimSpace(s) == s
}

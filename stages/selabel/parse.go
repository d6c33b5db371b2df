package selabel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp/syntax"
	"strings"
)

// Bounds of a policy. That of Fedora has 7 000 specifications, of which none
// is longer than 200 bytes.
const (
	maxSpecs   = 200_000
	maxPattern = 4096
	maxContext = 4096
	maxSubs    = 10_000
	// maxSize bounds the expanded size of one expression, maxTotal that of all.
	maxSize  = 20_000
	maxTotal = 4_000_000
)

// File is one of the files with specifications.
type File struct {
	// Name stands in messages.
	Name string
	Data []byte
}

// none is the label that says that there is to be none.
const none = "<<none>>"

// anyType is the type of a specification that is for files of all types.
const anyType = ^fs.FileMode(0)

var fileTypes = map[string]fs.FileMode{
	"-b": fs.ModeDevice, "-c": fs.ModeDevice | fs.ModeCharDevice, "-d": fs.ModeDir, "-p": fs.ModeNamedPipe,
	"-l": fs.ModeSymlink, "-s": fs.ModeSocket, "--": 0,
}

// Parse reads a policy. The specifications of later files go before those of
// earlier ones: give file_contexts, then .homedirs, then .local. The
// substitutions of subs are made first and those of subsDist after them.
func Parse(files []File, subs, subsDist File) (*Policy, error) {
	p := &Policy{}
	var exact []*spec
	total := 0
	for _, f := range files {
		number := 0
		for line := range bytes.Lines(f.Data) {
			number++
			s, err := parseSpec(string(line))
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", f.Name, number, err)
			}
			if s == nil {
				continue
			}
			if total += s.size; total > maxTotal || len(p.specs)+len(exact) >= maxSpecs {
				return nil, fmt.Errorf("%s, line %d: the policy is too large", f.Name, number)
			}
			s.where = fmt.Sprintf("%s, line %d", f.Name, number)
			if s.exact {
				exact = append(exact, s)
			} else {
				p.specs = append(p.specs, s)
			}
		}
	}
	p.specs = append(p.specs, exact...)
	p.makeIndex()
	var err error
	if p.subs, err = parseSubs(subs); err != nil {
		return nil, err
	}
	p.subsDist, err = parseSubs(subsDist)
	return p, err
}

// parseSpec reads one line. A line without a specification has none.
func parseSpec(line string) (*spec, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0][0] == '#' {
		return nil, nil
	}
	s := &spec{kind: anyType}
	switch len(fields) {
	case 1:
		return nil, errors.New("it has a path and no label")
	case 2:
		s.context = fields[1]
	default:
		// What follows is ignored, as libselinux does.
		kind, ok := fileTypes[fields[1]]
		if !ok {
			return nil, fmt.Errorf("%.20q is no type of file: --, -b, -c, -d, -l, -p or -s", fields[1])
		}
		s.kind, s.context = kind, fields[2]
	}
	pattern := fields[0]
	for _, c := range []byte(pattern + s.context) {
		if c < ' ' || c > '~' {
			return nil, errors.New("it has a byte that is not ASCII")
		}
	}
	if len(pattern) > maxPattern || len(s.context) > maxContext {
		return nil, errors.New("it is too long")
	}
	s.stem = stemOf(pattern)
	s.rest = pattern[len(s.stem):]
	s.exact = !hasMeta(pattern)
	re, err := syntax.Parse(s.expression(), syntax.Perl|syntax.DotNL)
	if err != nil {
		return nil, fmt.Errorf("the regular expression is not understood: %w", err)
	}
	if s.size = sizeOf(re); s.size > maxSize {
		return nil, errors.New("the regular expression stands for one that is too large")
	}
	s.prefix = s.stem + literalPrefix(re)
	return s, nil
}

// stemOf returns what stands before the second slash, if it is plain text.
// A specification with a stem is only for paths that begin with this very
// text: libselinux does not take escapes out of it.
func stemOf(pattern string) string {
	slash := strings.IndexByte(pattern[1:], '/') + 1
	if slash == 0 || strings.ContainsAny(pattern[:slash], ".^$?*+|[({") {
		return ""
	}
	return pattern[:slash]
}

// hasMeta reports whether a pattern may match more than one path, in the way
// libselinux decides which specifications go before all others.
func hasMeta(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\':
			i++
		case strings.IndexByte(".^$?*+|[({", pattern[i]) >= 0:
			return true
		}
	}
	return false
}

// expression returns the regular expression over what follows the stem. That
// libselinux adds no parentheses shows with a bar outside of any. Its dollar
// sign also matches before a line break at the end.
func (s *spec) expression() string { return "^" + s.rest + `(?:\n?\z)` }

// sizeOf estimates the size of an expression with its repeats written out.
func sizeOf(re *syntax.Regexp) int {
	size := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		size = min(size+sizeOf(sub), maxTotal)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, maxTotal)
}

// literalPrefix returns a text with which all begins that an expression
// matches.
func literalPrefix(re *syntax.Regexp) string {
	if re.Op != syntax.OpConcat || len(re.Sub) == 0 || re.Sub[0].Op != syntax.OpBeginText {
		return ""
	}
	var b strings.Builder
	for _, sub := range re.Sub[1:] {
		if sub.Op != syntax.OpLiteral || sub.Flags&syntax.FoldCase != 0 {
			break
		}
		for _, r := range sub.Rune {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// sub replaces the beginning of a path.
type sub struct{ from, to string }

func parseSubs(f File) ([]sub, error) {
	var out []sub
	for line := range bytes.Lines(f.Data) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 || fields[0][0] == '#' {
			continue
		}
		if len(fields[0]) > maxPattern || len(fields[1]) > maxPattern || len(out) >= maxSubs {
			return nil, fmt.Errorf("%s is too large", f.Name)
		}
		out = append(out, sub{fields[0], fields[1]})
	}
	return out, nil
}

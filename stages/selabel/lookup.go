package selabel

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// Policy gives labels to paths. It is not safe for concurrent use.
type Policy struct {
	// specs are in the order of precedence, the last one first.
	specs []*spec
	// index holds, by the directory in which the plain text that they begin
	// with ends, the numbers of the specifications, from high to low.
	index          map[string][]int32
	subs, subsDist []sub
	// dir is the directory of the last lookup and candidates are the
	// specifications that can match what is in it: lookups come in the order
	// of a walk.
	dir        string
	candidates []int32
	// work counts the steps of all lookups, roughly.
	work int64
}

// spec is one specification.
type spec struct {
	where      string
	stem, rest string
	// prefix is plain text with which every path begins that matches.
	prefix  string
	exact   bool
	kind    fs.FileMode
	context string
	size    int
	re      *regexp.Regexp
}

// maxWork bounds the work of all lookups, in steps of a few nanoseconds. A
// distribution's policy takes some thousand of them for a file.
const maxWork = 10_000_000_000

func (p *Policy) makeIndex() {
	p.index = map[string][]int32{}
	for i := len(p.specs) - 1; i >= 0; i-- {
		dir := parent(p.specs[i].prefix)
		p.index[dir] = append(p.index[dir], int32(i))
	}
}

// parent returns what stands before the last slash, with it.
func parent(name string) string { return name[:strings.LastIndexByte(name, '/')+1] }

// Lookup returns the label of a file with an absolute path in its shortest
// form. Of mode only the type of the file counts. Without a specification, or
// with one that says <<none>>, there is no label and ok is false.
func (p *Policy) Lookup(name string, mode fs.FileMode) (label string, ok bool, err error) {
	name = p.substitute(name)
	if dir := parent(name); p.candidates == nil || dir != p.dir {
		p.dir, p.candidates = dir, p.collect(dir)
	}
	text := name
	for _, i := range p.candidates {
		s := p.specs[i]
		if !strings.HasPrefix(name, s.prefix) || s.kind != anyType && s.kind != mode.Type() {
			continue
		}
		if text == name && !ascii(name) {
			text = bytewise(name)
		}
		match, cost, err := s.match(text)
		if err != nil {
			return "", false, fmt.Errorf("%s: %w", s.where, err)
		}
		if p.work += cost; p.work > maxWork {
			return "", false, errors.New("the policy has too many regular expressions for so many files")
		}
		if match && s.context == none {
			return "", false, nil
		}
		if match {
			return s.context, true, nil
		}
	}
	p.work += int64(len(p.candidates))
	return "", false, nil
}

// collect returns the specifications whose plain text ends in a directory or
// in one of those above it.
func (p *Policy) collect(dir string) []int32 {
	out := slices.Clone(p.index[""])
	for i := range len(dir) {
		if dir[i] == '/' {
			out = append(out, p.index[dir[:i+1]]...)
		}
	}
	slices.SortFunc(out, func(a, b int32) int { return int(b) - int(a) })
	p.work += int64(len(out))
	if out == nil {
		out = []int32{}
	}
	return out
}

// match matches a path whose plain text is known to match.
func (s *spec) match(name string) (ok bool, cost int64, err error) {
	if s.stem != "" && (!strings.HasPrefix(name, s.stem) || !strings.HasPrefix(name[len(s.stem):], "/")) {
		return false, 1, nil
	}
	if s.re == nil {
		// The flag holds for all alternatives.
		if s.re, err = regexp.Compile("(?s)" + s.expression()); err != nil {
			return false, 1, err
		}
	}
	rest := name[len(s.stem):]
	return s.re.MatchString(rest), int64(1 + len(rest)*s.size/64), nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// bytewise returns a text with a character for each byte of s: libselinux
// matches bytes and knows no encoding.
func bytewise(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
	}
	return string(out)
}

// substitute replaces the beginning of a path as the policy says.
func (p *Policy) substitute(name string) string {
	return replace(p.subsDist, replace(p.subs, name))
}

// replace makes one substitution. Of those that fit it is the last one.
func replace(subs []sub, name string) string {
	for _, s := range slices.Backward(subs) {
		rest, ok := strings.CutPrefix(name, s.from)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if rest != "" && s.to == "/" {
			rest = rest[1:]
		}
		return s.to + rest
	}
	return name
}

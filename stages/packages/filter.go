package packages

import (
	"archive/tar"
	"strings"
)

// filterFile is where the path patterns stand in the tree, for dpkg.
const filterFile = "etc/dpkg/dpkg.cfg.d/osbuildkit-paths"

// pathFilter decides which paths of packages are left out, as dpkg does with
// its path-exclude and path-include: an include wins over the excludes.
type pathFilter struct{ excludes, includes []string }

// config returns the filter in the form of dpkg's configuration.
func (f pathFilter) config() string {
	var b strings.Builder
	for _, p := range f.excludes {
		b.WriteString("path-exclude=" + p + "\n")
	}
	for _, p := range f.includes {
		b.WriteString("path-include=" + p + "\n")
	}
	return b.String()
}

// skips reports whether the path, which begins with a slash, is left out.
func (f pathFilter) skips(name string, kind byte) bool {
	if !matchAny(f.excludes, name) || matchAny(f.includes, name) {
		return false
	}
	if kind != tar.TypeDir && kind != tar.TypeSymlink {
		return true
	}
	// A directory, or a link that may stand for one, is kept where an
	// included path may lie below it.
	for _, p := range f.includes {
		fixed := p
		if i := strings.IndexAny(p, "*?[\\"); i >= 0 {
			fixed = p[:i]
		}
		if strings.HasPrefix(fixed, name+"/") || strings.HasPrefix(name+"/", fixed) {
			return false
		}
	}
	return true
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if matchGlob(p, name) {
			return true
		}
	}
	return false
}

// matchGlob matches as fnmatch(3) without flags: "*" and "?" match a slash
// too. It takes time in proportion to both lengths at worst.
func matchGlob(pattern, name string) bool {
	px, nx := 0, 0
	starP, starN := -1, 0
	for px < len(pattern) || nx < len(name) {
		if px < len(pattern) {
			if pattern[px] == '*' {
				starP, starN = px, nx
				px++
				continue
			}
			if nx < len(name) {
				if n, ok := matchOne(pattern[px:], name[nx]); ok {
					px += n
					nx++
					continue
				}
			}
		}
		if starP < 0 || starN >= len(name) {
			return false
		}
		starN++
		px, nx = starP+1, starN
	}
	return true
}

// matchOne matches the first element of a pattern, which is not a star, with
// one byte, and returns the element's length.
func matchOne(pattern string, c byte) (int, bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	case '[':
		if n, ok := matchClass(pattern, c); n > 0 {
			return n, ok
		}
	}
	return 1, pattern[0] == c
}

// matchClass matches a byte with a class such as [a-z] or [!a], and returns
// the class's length, or 0 if the bracket opens none.
func matchClass(pattern string, c byte) (int, bool) {
	i := 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	found := false
	for first := i; i < len(pattern); i++ {
		if pattern[i] == ']' && i > first {
			return i + 1, found != negated
		}
		low, high := pattern[i], pattern[i]
		if i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']' {
			high = pattern[i+2]
			i += 2
		}
		found = found || low <= c && c <= high
	}
	return 0, false
}

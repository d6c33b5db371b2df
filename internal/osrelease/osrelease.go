// Package osrelease reads os-release(5), which says what a system is.
package osrelease

import (
	"regexp"
	"strings"
)

// Files are the names of the file in a tree. The first that is there counts.
var Files = []string{"etc/os-release", "usr/lib/os-release"}

var key = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Parse returns the values by name. The last of several lines counts, as in a
// shell; what is no assignment has no meaning.
func Parse(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found && key.MatchString(name) {
			out[name] = unquote(value)
		}
	}
	return out
}

// unquote reads a word as a shell does: quotes of both kinds, and backslashes,
// which between double quotes are such before " $ ` and \ only.
func unquote(s string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '\'' && c != '\'':
			b.WriteByte(c)
		case c == '\'' && quote != '"', c == '"':
			quote ^= c // the end of one is what it began with
		case c == '\\' && i+1 < len(s) && (quote == 0 || strings.IndexByte("\"$`\\", s[i+1]) >= 0):
			i++
			b.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String() // what follows is not part of the word
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

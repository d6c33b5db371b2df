package manifest

import (
	"strings"
	"unicode/utf8"

	"github.com/osbuildkit/osbuildkit/internal/editdistance"
)

// maxNearest bounds the length in bytes of names that are compared.
const maxNearest = 100

// Nearest returns the candidate that is most like name, for a "did you mean":
// the one with the fewest letters to insert, delete, replace or swap, if that is
// at most a third of the name's length and not more than 4. Case does not count,
// and neither does the part up to the last full stop when only that is left
// out: "hostname" finds "org.osbuild.hostname". A name of four letters or more
// also finds what it is the beginning of, and the reverse. The first of several equally
// near ones wins. It returns "" if nothing is near.
func Nearest(name string, candidates []string) string {
	if name == "" || len(name) > maxNearest {
		return ""
	}
	best, bestDistance := "", -1
	folded := strings.ToLower(name)
	for _, c := range candidates {
		if len(c) > maxNearest || c == name {
			continue
		}
		limit := min(4, max(1, utf8.RuneCountInString(shorter(name, c))/3))
		d := nearness(folded, strings.ToLower(c), limit)
		if d >= 0 && (bestDistance < 0 || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

func shorter(a, b string) string {
	a, b = lastPart(a), lastPart(b)
	if len(a) < len(b) {
		return a
	}
	return b
}

func lastPart(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }

// nearness returns the distance of two names, or -1 if it is above the limit.
func nearness(a, b string, limit int) int {
	d := editdistance.Distance(a, b)
	if !strings.Contains(a, ".") && strings.Contains(b, ".") {
		d = min(d, editdistance.Distance(a, lastPart(b)))
	}
	if d > limit && (strings.HasPrefix(b, a) || strings.HasPrefix(a, b)) && min(len(a), len(b)) >= 4 {
		return limit
	}
	if d > limit {
		return -1
	}
	return d
}

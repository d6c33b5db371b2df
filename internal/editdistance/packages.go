package editdistance

import (
	"fmt"
	"slices"
	"strings"
)

// NearestPackages returns the up to three names of packages that are most like
// name, the best one first: such that differ in few letters, or that begin
// with it.
func NearestPackages(name string, names []string) []string {
	type hit struct {
		name string
		d    int
	}
	limit := max(1, min(3, len(name)/3))
	var hits []hit
	for _, n := range names {
		d := limit + 1
		if strings.HasPrefix(n, name) && len(name) > 2 {
			d = limit
		}
		if diff := len(n) - len(name); diff >= -limit && diff <= limit {
			d = min(d, Distance(name, n))
		}
		if d <= limit {
			hits = append(hits, hit{n, d})
		}
	}
	slices.SortFunc(hits, func(a, b hit) int {
		if a.d != b.d {
			return a.d - b.d
		}
		if c := len(a.name) - len(b.name); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	var out []string
	for _, h := range hits[:min(3, len(hits))] {
		out = append(out, h.name)
	}
	return out
}

// DidYouMeanPackage returns "; did you mean a, b or c?" for an error message
// about the name of a package, or nothing where no name is near.
func DidYouMeanPackage(name string, names []string) string {
	near := NearestPackages(name, names)
	switch len(near) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("; did you mean %s?", near[0])
	}
	last := len(near) - 1
	return fmt.Sprintf("; did you mean %s or %s?", strings.Join(near[:last], ", "), near[last])
}

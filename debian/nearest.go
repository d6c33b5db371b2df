package debian

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the up to three names that are most like name, the best
// one first: such that differ in few letters, or that begin with it.
func Nearest(name string, names []string) []string {
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
			d = min(d, distance(name, n))
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

// DidYouMean returns "; did you mean a, b or c?" for an error message, or
// nothing where no name is near.
func DidYouMean(name string, names []string) string {
	near := Nearest(name, names)
	switch len(near) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("; did you mean %s?", near[0])
	}
	last := len(near) - 1
	return fmt.Sprintf("; did you mean %s or %s?", strings.Join(near[:last], ", "), near[last])
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour that turn a into b.
func distance(a, b string) int {
	var prev2 []int
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur := make([]int, len(b)+1)
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev = prev, cur
	}
	return prev[len(b)]
}

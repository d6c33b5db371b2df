package stages

import (
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/editdistance"
)

// nearest returns up to most of the names that are most like name, nearest
// first. A name counts if no more than a third of it has to be changed, or if
// it begins with name.
func nearest(name string, names []string, most int) []string {
	type candidate struct {
		name     string
		distance int
	}
	stem := strings.TrimSuffix(name, ".service")
	var found []candidate
	for _, n := range names {
		d := editdistance.Distance(name, n)
		switch {
		case n == name:
			continue
		case d <= (len(stem)+2)/3:
		case len(stem) >= 3 && strings.HasPrefix(n, stem):
			d = len(stem)
		default:
			continue
		}
		found = append(found, candidate{n, d})
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.distance - b.distance })
	var out []string
	for _, c := range found[:min(most, len(found))] {
		out = append(out, c.name)
	}
	return out
}

package debian

import "github.com/osbuildkit/osbuildkit/internal/editdistance"

// Nearest returns the up to three names that are most like name, the best
// one first: such that differ in few letters, or that begin with it.
func Nearest(name string, names []string) []string {
	return editdistance.NearestPackages(name, names)
}

// DidYouMean returns "; did you mean a, b or c?" for an error message, or
// nothing where no name is near.
func DidYouMean(name string, names []string) string {
	return editdistance.DidYouMeanPackage(name, names)
}

package uki

import "strings"

// CompareVersions compares two versions of kernels: runs of digits as numbers,
// other runs as text, ~ before the end, and a longer version after a shorter
// one that it starts with.
func CompareVersions(a, b string) int {
	for a != "" || b != "" {
		if a == b {
			return 0
		}
		an, arest := cutRun(a)
		bn, brest := cutRun(b)
		switch aDigits, bDigits := isDigits(an), isDigits(bn); {
		case strings.HasPrefix(an, "~") != strings.HasPrefix(bn, "~"):
			if strings.HasPrefix(an, "~") {
				return -1
			}
			return 1
		case an == "" || bn == "":
			return strings.Compare(an, bn)
		case aDigits && bDigits:
			x, y := strings.TrimLeft(an, "0"), strings.TrimLeft(bn, "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
		case aDigits != bDigits:
			if aDigits {
				return 1
			}
			return -1
		default:
			if c := strings.Compare(an, bn); c != 0 {
				return c
			}
		}
		a, b = arest, brest
	}
	return 0
}

func isDigits(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// cutRun cuts off the first run of digits or of other characters.
func cutRun(s string) (run, rest string) {
	digits := isDigits(s)
	for i := range len(s) {
		if (s[i] >= '0' && s[i] <= '9') != digits {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

package uki

import "testing"

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	// Each is older than the next.
	order := []string{"", "5.3.0-rc1", "5.3.1-1.fc30", "5.3.1-2.fc30", "5.3.10-1.fc30", "6.9.1-amd64", "6.12~rc1", "6.12", "6.12.0", "6.12.5-amd64", "6.12.05-cloud", "6.100"}
	for i, a := range order {
		for j, b := range order {
			got := CompareVersions(a, b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("CompareVersions(%q, %q) = %d", a, b, got)
			}
		}
	}
}

package cli

import (
	"testing"
)

// FuzzParseChecksums reads what a build says are the sums of its files.
func FuzzParseChecksums(f *testing.F) {
	f.Add([]byte("aa  image.qcow2\nbb *../x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, sum := range parseChecksums(data) {
			if len(sum) != 64 {
				t.Errorf("%q has the sum %q", name, sum)
			}
		}
	})
}

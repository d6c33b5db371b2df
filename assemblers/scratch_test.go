package assemblers

import "testing"

func TestDiskDir(t *testing.T) {
	t.Parallel()
	// More than any machine has free.
	if got := diskDir(1<<60, "/fallback"); got != "/fallback" {
		t.Errorf("%s holds 2^60 bytes", got)
	}
}

func TestMemAvailable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"MemTotal:       24 kB\nMemAvailable:   17 kB\n": 17 << 10,
		"MemAvailable:\n": 0, "": 0, "MemAvailable: x kB\n": 0,
	} {
		if got := memAvailable([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

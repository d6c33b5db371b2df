//go:build linux

package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/util/disk"
)

func TestGCPolicy(t *testing.T) {
	t.Parallel()
	const gb = int64(1e9)
	for _, tt := range []struct {
		name                 string
		disk, limit          int64
		used, reserved, free int64
		cheap                int64
	}{
		{"large disk", 1000 * gb, 0, 20 * gb, 5 * gb, 5 * gb, 4 * gb},
		{"small disk", 10 * gb, 0, 5 * gb, 5 * gb / 4, gb, 4 * gb},
		{"named", 10 * gb, 2 * gb, 2 * gb, gb / 2, gb, 2 * gb},
		{"no limit", 1000 * gb, -1, 0, 0, 5 * gb, 4 * gb},
		{"unknown disk", 0, 0, 20 * gb, 5 * gb, 0, 4 * gb},
	} {
		policy := gcPolicy(disk.DiskStat{Total: tt.disk}, tt.limit)
		for i, p := range policy {
			if len(p.Filter) > 0 {
				if p.MaxUsedSpace != tt.cheap {
					t.Errorf("%s: rule %d keeps %d bytes of what is made again soon, want %d", tt.name, i, p.MaxUsedSpace, tt.cheap)
				}
				continue
			}
			if p.MaxUsedSpace != tt.used || p.ReservedSpace != tt.reserved || p.MinFreeSpace != tt.free {
				t.Errorf("%s: rule %d: used %d, reserved %d, free %d", tt.name, i, p.MaxUsedSpace, p.ReservedSpace, p.MinFreeSpace)
			}
		}
		if last := policy[len(policy)-1]; !last.All {
			t.Errorf("%s: the last rule spares internal records", tt.name)
		}
	}
}

// An engine leaves its cache within the limit, also one that was lowered since and
// builds nothing new; what is used is kept without one.
func TestLimit(t *testing.T) {
	step := needEmbedded(t)
	store := t.TempDir()
	run := func(limit int64, texts ...string) (left int64) {
		t.Helper()
		e := openWith(t, Options{Builder: EmbeddedName, Store: store, Limit: limit, Image: "limit"})
		for _, text := range texts {
			if _, err := solveFile(t.Context(), e.Client(), step, text); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = openWith(t, Options{Builder: EmbeddedName, Store: store, Limit: 1})
		records, err := e.DiskUsage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			left += r.Size
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		return left
	}
	text := func(i int) string { return fmt.Sprintf("%0100000d", i) }
	before := run(-1, text(1), text(2), text(3))
	if got := run(0); got != before {
		t.Errorf("the default limit takes %d bytes to %d", before, got)
	}
	limit := before - 150_000
	if got := run(limit); got > limit {
		t.Errorf("%d bytes are left of %d under a limit of %d", got, before, limit)
	}
	if got := run(limit, text(4), text(5), text(6), text(7)); got > limit {
		t.Errorf("%d bytes after a build under a limit of %d", got, limit)
	}
	if _, err := os.Stat(filepath.Join(store, "buildkit", "limit")); err != nil {
		t.Error(err)
	}
}

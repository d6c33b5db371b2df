package content

import (
	"context"
	"fmt"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// MaxHoles in bytes is how much of a tree may be holes where the format that it is
// written to has none and holds their zeros: more than any system has in its logs
// and databases, and minutes of work.
const MaxHoles = 64 << 30

// CheckHoles refuses a tree whose sparse files have larger holes than MaxHoles
// before anything of it is written. What names the format.
func CheckHoles(ctx context.Context, tree, what string) error {
	h := Holes{What: what}
	return Walk(ctx, tree, h.Add)
}

// Holes counts the holes of files that become zeros.
type Holes struct {
	// What names the format that has no holes.
	What  string
	total int64
	// seen are files with several names.
	seen map[ID]bool
}

// Add counts those of one file, by what is allocated for it.
func (h *Holes) Add(e *Entry) error {
	if e.Kind() != unix.S_IFREG || e.Shared() && h.seen[e.ID()] {
		return nil
	}
	if e.Shared() {
		if h.seen == nil {
			h.seen = map[ID]bool{}
		}
		h.seen[e.ID()] = true
	}
	data := e.Stat.Blocks * 512
	if e.Stat.Size <= data {
		return nil
	}
	if h.total += min(e.Stat.Size-data, MaxHoles+1); h.total > MaxHoles {
		return fmt.Errorf("%q is a sparse file of %d bytes, of which %d are there: %s would hold the others as zeros, and takes %d GiB of those in all; remove the file, or make it smaller",
			e.Path, e.Stat.Size, data, h.What, int64(MaxHoles>>30))
	}
	return nil
}

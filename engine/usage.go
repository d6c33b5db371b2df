package engine

import (
	"context"
	"time"

	"github.com/moby/buildkit/client"
	"golang.org/x/sync/errgroup"
)

// DiskUsage lists the records of the build cache, smallest first, with their
// size in bytes. Filters are BuildKit's, for example "type==regular"; records
// must match one of them when any is given.
func (e *Engine) DiskUsage(ctx context.Context, filters ...string) ([]*client.UsageInfo, error) {
	return e.client.DiskUsage(ctx, client.WithFilter(filters))
}

// PruneOptions says which records of the build cache go.
type PruneOptions struct {
	// All removes internal records and the records of frontends as well.
	All bool
	// KeepDuration keeps what was used within this time.
	KeepDuration time.Duration
	// ReservedSpace in bytes is never freed, MaxUsedSpace is what the cache may
	// keep, MinFreeSpace is what the disk shall have free at the end. All zero
	// removes every record that the other fields select.
	ReservedSpace, MaxUsedSpace, MinFreeSpace int64
	// Filters select records as for DiskUsage.
	Filters []string
	// Each, if set, is told of every record that was removed, one at a time.
	Each func(client.UsageInfo)
}

// Prune removes records of the build cache that no build uses now and returns
// the sum of their sizes in bytes, and how many they were.
func (e *Engine) Prune(ctx context.Context, o PruneOptions) (size int64, count int, err error) {
	opts := []client.PruneOption{
		client.WithFilter(o.Filters),
		client.WithKeepOpt(o.KeepDuration, o.ReservedSpace, o.MaxUsedSpace, o.MinFreeSpace),
	}
	if o.All {
		opts = append(opts, client.PruneAll)
	}
	records := make(chan client.UsageInfo)
	var g errgroup.Group
	g.Go(func() error {
		defer close(records)
		return e.client.Prune(ctx, records, opts...)
	})
	for r := range records {
		size += r.Size
		count++
		if o.Each != nil {
			o.Each(r)
		}
	}
	return size, count, g.Wait()
}

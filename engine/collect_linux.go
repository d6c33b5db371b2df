package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/util/disk"
	"github.com/sirupsen/logrus"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// diskOf returns the disk that holds root; an unknown one has no size.
func diskOf(root string) disk.DiskStat {
	stat, err := disk.GetDiskStat(root)
	if err != nil {
		logrus.WithError(err).Warn("size of the disk is unknown")
	}
	return stat
}

// gcPolicy is what the cache may keep. Records that are made again soon, such as
// uploaded files and cache mounts, go first, when they are many and were not used
// for two days; then what was not used for two months; then what was not used for
// the longest time. A negative limit is none.
func gcPolicy(stat disk.DiskStat, limit int64) []client.PruneInfo {
	if limit == 0 {
		limit = defaultLimit(stat)
	}
	cfg := config.GCConfig{
		GCMinFreeSpace: config.DiskSpace{Bytes: minFree(stat)},
		GCMaxUsedSpace: config.DiskSpace{Bytes: max(limit, 0)},
	}
	if limit > 0 {
		// What others have written to a full disk does not take all of the cache.
		cfg.GCReservedSpace = config.DiskSpace{Bytes: limit / 4}
	}
	var out []client.PruneInfo
	for _, r := range config.DefaultGCPolicy(cfg, stat) {
		p := client.PruneInfo{
			Filter:        r.Filters,
			All:           r.All,
			KeepDuration:  r.KeepDuration.Duration,
			ReservedSpace: r.ReservedSpace.AsBytes(stat),
			MaxUsedSpace:  r.MaxUsedSpace.AsBytes(stat),
			MinFreeSpace:  r.MinFreeSpace.AsBytes(stat),
		}
		if len(p.Filter) > 0 {
			// One image is more than BuildKit's 512 MB for all of them.
			p.MaxUsedSpace = max(p.MaxUsedSpace, cheapRecords)
			if limit > 0 {
				p.MaxUsedSpace = min(p.MaxUsedSpace, limit)
			}
		}
		out = append(out, p)
	}
	return out
}

// cheapRecords in bytes: what uploaded files and cache mounts may take.
const cheapRecords = 4e9

// defaultLimit is the limit of a cache for which nobody has named one.
func defaultLimit(stat disk.DiskStat) int64 {
	if stat.Total > 0 {
		return min(DefaultLimit, stat.Total/2)
	}
	return DefaultLimit
}

// minFree is the space that collecting leaves free on a disk for all others who
// write to it.
func minFree(stat disk.DiskStat) int64 { return min(stat.Total/10, 5e9) }

// growth in bytes is a change of the disk's free space that is worth a look.
const growth = 16 << 20

// collector keeps the cache within its limit. BuildKit looks one second after its
// start and a minute after a build, when most engines have ended again.
type collector struct {
	limit int64
	free  int64 // on the disk, at the start
}

// limitNote is the file that holds the limit of the last collection.
func limitNote(root string) string { return filepath.Join(root, "limit") }

// collect removes what is over the limit, if anything can have changed since the
// last time. It ends when ctx is done; the rest is for the next time.
func (d *daemon) collect(ctx context.Context) error {
	if len(d.worker.GCPolicy()) == 0 {
		return nil
	}
	now, note := diskOf(d.root), fmt.Sprintf("%d\n", d.collector.limit)
	last, _ := private.ReadFile(limitNote(d.root), maxNote)
	change := d.collector.free - now.Free
	if !d.steps.ran() && change < growth && string(last) == note {
		return nil
	}
	removed := make(chan client.UsageInfo)
	size := make(chan int64)
	go func() {
		var n int64
		for r := range removed {
			n += r.Size
		}
		size <- n
	}()
	err := d.worker.Prune(ctx, removed, d.worker.GCPolicy()...)
	close(removed)
	if n := <-size; n > 0 && err == nil {
		logrus.Infof("the cache was over its limit: %d bytes were removed", n)
		err = d.keys.ReleaseUnreferenced(ctx)
	}
	if err != nil {
		return fmt.Errorf("keeping the cache within its limit: %w", err)
	}
	return private.WriteFile(limitNote(d.root), []byte(note))
}

// abortIngests forgets what was being written to a store of content when its
// process was killed. A writer of the same content would go on at the place where
// the other one was, and a source that cannot seek, such as a stored tree that a
// client sends, would make it fail for ever.
func abortIngests(ctx context.Context, store content.Store) error {
	all, err := store.ListStatuses(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range all {
		if err := store.Abort(ctx, s.Ref); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeIngests removes the files of writers that a killed process has left in
// the content below the directory of a worker, whether its database knows them or
// not, and whole or not. The database must not be open yet.
func removeIngests(worker string) error {
	dir := filepath.Join(worker, "content", "ingest")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}

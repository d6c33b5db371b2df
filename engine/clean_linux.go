package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// cleanLeftovers removes what a process that was killed has left: containers
// that still run, mounts, bundles and temporary files. The caller holds the lock,
// so nothing under root is in use.
func cleanLeftovers(ctx context.Context, root string, rt ociRuntime) error {
	bundles, err := filepath.Glob(filepath.Join(root, "runc-*", "executor", "*", "config.json"))
	if err != nil {
		return err
	}
	for _, b := range bundles {
		dir := filepath.Dir(b)
		id := filepath.Base(dir)
		if !ownContainer(rt, id, dir) {
			continue
		}
		if err := rt.forceDelete(ctx, id); err != nil {
			return fmt.Errorf("container %s: %w", id, err)
		}
	}
	if err := unmountOutside(root); err != nil {
		return err
	}
	for _, b := range bundles {
		if err := os.RemoveAll(filepath.Dir(b)); err != nil {
			return err
		}
	}
	workers, err := filepath.Glob(filepath.Join(root, "runc-*"))
	if err != nil {
		return err
	}
	for _, w := range workers {
		if err := removeIngests(w); err != nil {
			return err
		}
	}
	return removeTemp(tempDir(root))
}

// removeOrphans removes the directories of dir/snapshots that the snapshotter's
// database does not know. A process that is killed after a snapshot's directory
// has got its final name, and before the database is written, leaves such a one:
// the next snapshot gets the same number and could not be made. The database
// must not be open yet.
func removeOrphans(ctx context.Context, dir string) (err error) {
	database := filepath.Join(dir, "metadata.db")
	if !exists(database) {
		return nil
	}
	store, err := storage.NewMetaStore(database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	known := map[string]string{}
	err = store.WithTransaction(ctx, false, func(ctx context.Context) (err error) {
		known, err = storage.IDMap(ctx)
		return err
	})
	if err != nil && !errdefs.IsNotFound(err) { // a database without any snapshot
		return err
	}
	entries, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if _, ok := known[e.Name()]; ok {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, "snapshots", e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// ownContainer tells whether runc knows the container, and knows it with this
// bundle: the state directory is shared with all other users of runc.
func ownContainer(rt ociRuntime, id, bundle string) bool {
	data, err := os.ReadFile(filepath.Join(rt.stateDir, id, "state.json"))
	if err != nil {
		// A container killed while it was being made has a directory and no state.
		return exists(filepath.Join(rt.stateDir, id))
	}
	var state struct {
		Config struct {
			Labels []string `json:"labels"`
		} `json:"config"`
	}
	if json.Unmarshal(data, &state) != nil {
		return true // half written by us: ids are random, nobody else has this one
	}
	return slices.Contains(state.Config.Labels, "bundle="+bundle)
}

// unmountOutside detaches the mounts of the store in the mount namespace that this
// process was started from. Those of an engine end with its own namespace; what is
// found are those of a version that had none.
func unmountOutside(root string) error {
	result := make(chan error, 1)
	go func() {
		// The thread is in the other namespace from here on, and ends with this
		// function.
		runtime.LockOSThread()
		result <- func() error {
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", os.Getppid()))
			if errors.Is(err, os.ErrNotExist) {
				return nil // it has just ended, and nobody waits for this engine
			}
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return err
			}
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("entering the mount namespace of process %d: %w", os.Getppid(), err)
			}
			return unmountBelow(root)
		}()
	}()
	return <-result
}

// unmountBelow detaches every mount that lies below root or, for an overlay,
// that is made of directories below root, the innermost first.
func unmountBelow(root string) error {
	mounts, err := mountsBelow(root)
	if err != nil {
		return err
	}
	slices.SortStableFunc(mounts, func(a, b *mountinfo.Info) int {
		return cmp.Compare(len(b.Mountpoint), len(a.Mountpoint))
	})
	var errs []error
	for _, m := range mounts {
		err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", m.Mountpoint, err))
		}
	}
	// Files below a mount that is still there must not be removed as leftovers:
	// they are those of a snapshot.
	if len(mounts) > 0 && len(errs) == 0 {
		left, err := mountsBelow(root)
		if err != nil {
			return err
		}
		for _, m := range left {
			errs = append(errs, fmt.Errorf("%s is still mounted", m.Mountpoint))
		}
	}
	return errors.Join(errs...)
}

// mountsBelow lists the mounts that lie below root; the overlays elsewhere that
// are made of directories below root; and the directories below root that are
// bound elsewhere.
func mountsBelow(root string) ([]*mountinfo.Info, error) {
	all, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("reading the table of mounts: %w", err)
	}
	at := mountOf(all, root)
	var inside string
	if at != nil {
		// The path of root in its own file system.
		inside = filepath.Join(at.Root, strings.TrimPrefix(root, at.Mountpoint)) + "/"
	}
	prefix := root + "/"
	return slices.DeleteFunc(all, func(m *mountinfo.Info) bool {
		below := strings.HasPrefix(m.Mountpoint, prefix)
		overlay := m.FSType == "overlay" && strings.Contains(m.VFSOptions, "="+prefix)
		bound := at != nil && m.Major == at.Major && m.Minor == at.Minor && m.FSType == at.FSType && strings.HasPrefix(m.Root, inside)
		return !below && !overlay && !bound
	}), nil
}

// mountOf finds the mount that a path lies on: the last of the longest ones.
func mountOf(all []*mountinfo.Info, path string) (found *mountinfo.Info) {
	for _, m := range all {
		if within(path, m.Mountpoint) && (found == nil || len(m.Mountpoint) >= len(found.Mountpoint)) {
			found = m
		}
	}
	return found
}

// tempPrefixes are the names BuildKit and containerd give to what they make in
// the temporary directory. Other names belong to others of this process.
var tempPrefixes = []string{"buildkit", ".buildkit", "containerd-mount", "runc", "qemu-check"}

// removeTemp empties the engine's temporary directory of BuildKit's files.
func removeTemp(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		ours := slices.ContainsFunc(tempPrefixes, func(p string) bool { return strings.HasPrefix(e.Name(), p) })
		if !ours {
			info, err := e.Info()
			ours = err == nil && time.Since(info.ModTime()) > 24*time.Hour
		}
		if ours {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// procIsMasked tells whether a container manager has mounted something over
// parts of /proc. The binfmt_misc file system belongs there.
func procIsMasked() bool {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter("/proc"))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(mounts, func(m *mountinfo.Info) bool {
		return strings.HasPrefix(m.Mountpoint, "/proc/") && !strings.HasPrefix(m.Mountpoint, "/proc/sys/fs/binfmt_misc")
	})
}

package engine

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// The engine's mount namespace begins with a copy of every mount of the machine.
// A copy keeps its file system in use after the user has unmounted it: it could
// not be checked or pulled out while a build runs. What lies on a shared mount
// goes in all copies at once; what lies on another, as all does in most
// containers, does not, so the engine gives up its copies of those mounts that it
// has no use for.

// systemTrees are the directories whose mounts are part of the running system.
var systemTrees = []string{"/proc", "/sys", "/dev", "/etc", "/usr"}

// releaseMounts detaches in the calling thread's mount namespace what the engine
// has no use for. It needs the directory root, what the variables of its
// environment name, and where the system keeps its own state.
func releaseMounts(root string, environment []string) error {
	needed := []string{root, "/run", "/tmp", "/var/tmp"}
	if resolver, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		needed = append(needed, resolver)
	}
	for _, v := range environment {
		_, value, _ := strings.Cut(v, "=")
		for _, p := range filepath.SplitList(value) {
			if !filepath.IsAbs(p) {
				continue
			}
			needed = append(needed, filepath.Clean(p))
			if real, err := filepath.EvalSymlinks(p); err == nil {
				needed = append(needed, real)
			}
		}
	}
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return fmt.Errorf("reading the table of mounts: %w", err)
	}
	told := map[int]bool{} // the mounts that learn what goes from another one
	for _, m := range mounts {
		told[m.ID] = strings.Contains(m.Optional, "master:")
	}
	mounts = slices.DeleteFunc(mounts, func(m *mountinfo.Info) bool { return told[m.Parent] || !releasable(m.Mountpoint, root, needed) })
	slices.SortStableFunc(mounts, func(a, b *mountinfo.Info) int { return cmp.Compare(len(b.Mountpoint), len(a.Mountpoint)) })
	for _, m := range mounts {
		err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		// EINVAL: locked, as those from outside of a user namespace are.
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("releasing the mount %s: %w", m.Mountpoint, err)
		}
	}
	return nil
}

// releasable tells whether the engine can do without what is mounted at a place.
func releasable(mountpoint, root string, needed []string) bool {
	if slices.ContainsFunc(append(slices.Clone(systemTrees), root), func(dir string) bool { return within(mountpoint, dir) }) {
		return false
	}
	return !slices.ContainsFunc(needed, func(p string) bool { return within(p, mountpoint) })
}

// within tells whether a path is a directory or lies below it.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

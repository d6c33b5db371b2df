//go:build linux

package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A file system that the user unmounts while an engine runs is not in use any
// more, whether its mount is shared or private.
func TestReleasedMounts(t *testing.T) {
	needEmbedded(t)
	for _, propagation := range []struct {
		name string
		flag uintptr
	}{{"private", unix.MS_PRIVATE}, {"shared", unix.MS_SHARED}} {
		t.Run(propagation.name, func(t *testing.T) {
			// The store lies on a mount as well, which stays. What is mounted on
			// base has the propagation of base.
			base := t.TempDir()
			disk, other := filepath.Join(base, "disk"), filepath.Join(base, "other")
			for _, dir := range []string{base, disk, other, filepath.Join(other, "inner")} {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
					t.Skip("needs to mount:", err)
				}
				t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
				if err := unix.Mount("", dir, "", propagation.flag, ""); err != nil {
					t.Fatal(err)
				}
			}
			e, err := Open(t.Context(), Options{Builder: EmbeddedName, Store: filepath.Join(disk, "store")})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}()
			for _, dir := range []string{filepath.Join(other, "inner"), other} {
				if err := unix.Unmount(dir, 0); err != nil {
					t.Fatal(err)
				}
			}
			mounts := engineMounts(t, e)
			if strings.Contains(mounts, other) {
				t.Errorf("the engine holds what is unmounted:\n%s", mounts)
			}
			if !strings.Contains(mounts, " "+disk+" ") {
				t.Errorf("the engine has no mount of its store:\n%s", mounts)
			}
		})
	}
}

// engineMounts reads the table of mounts of an engine's process.
func engineMounts(t *testing.T, e *Engine) string {
	t.Helper()
	out, err := exec.Command("pgrep", "-f", "^"+processName+" "+e.process.root).Output()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("/proc/" + strings.TrimSpace(string(out)) + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReleasable(t *testing.T) {
	const root = "/srv/disk/store/buildkit"
	needed := []string{root, "/run", "/opt/tools/bin"}
	for _, c := range []struct {
		at   string
		want bool
	}{
		{"/", false},
		{"/srv/disk", false},
		{"/srv/disk/other", true},
		{"/srv/disk2", true},
		{root + "/runc-overlayfs", false},
		{"/proc/sys/fs/binfmt_misc", false},
		{"/etc/hosts", false},
		{"/usr/lib/wsl", false},
		{"/run", false},
		{"/run/media/user/stick", true},
		{"/opt/tools", false},
		{"/opt/tools/share", true},
		{"/home", true},
	} {
		if got := releasable(c.at, root, needed); got != c.want {
			t.Errorf("%s: %v, want %v", c.at, got, c.want)
		}
	}
}

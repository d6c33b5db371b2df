package packages

import (
	"errors"
	"io/fs"

	"github.com/osbuildkit/osbuildkit/tree"
)

// Debian's hook for kernels makes the boot menu anew where there is one. It asks
// for the device that the root file system is on; in a step that is no disk, so
// that the hook, and with it the installation of the kernel, would fail. The
// hook passes containers by, but not every tree has the program that tells it.
const (
	bootMenu       = "boot/grub/grub.cfg"
	bootMenuBackup = "boot/grub/grub.cfg.osbuildkit-kept"
)

// keepBootMenu puts the boot menu aside, so that no script makes it anew, and
// returns what undoes that.
func keepBootMenu(t *tree.Root) (undo func() error, err error) {
	nothing := func() error { return nil }
	st, err := t.Lstat(bootMenu)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
		return nothing, nil
	}
	if err != nil {
		return nil, err
	}
	if err := t.Rename(bootMenu, bootMenuBackup); err != nil {
		return nil, err
	}
	return func() error { return t.Rename(bootMenuBackup, bootMenu) }, nil
}

package assemblers

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/uki"
	"github.com/osbuildkit/osbuildkit/tree"
)

// bootKernel is a kernel of the tree with its initrd.
type bootKernel struct{ version, linux, initrd string }

// kernelNames are what comes before the version in the name of a kernel.
var kernelNames = []string{"vmlinuz-", "vmlinux-", "bzImage-", "Image-"}

// initrdPatterns are the names under which the distributions install the initrd
// of a version, in the directory of the kernel.
var initrdPatterns = []string{"initrd.img-%s", "initramfs-%s.img", "initrd-%s", "initramfs-%s"}

// newestKernel finds the kernel with the newest version, and its initrd. One to
// rescue a system is the last choice.
func newestKernel(t *tree.Root) (bootKernel, error) {
	paths, err := findKernels(t)
	if err != nil {
		return bootKernel{}, err
	}
	// Where a distribution's packages leave it, before kernel-install has run.
	const modules = "usr/lib/modules"
	versions, err := readDir(t, modules)
	if err != nil {
		return bootKernel{}, err
	}
	for _, v := range versions {
		paths = append(paths, path.Join(modules, v.Name(), "vmlinuz"))
	}
	var best bootKernel
	for _, p := range paths {
		k := bootKernel{kernelVersion(p), p, ""}
		if st, err := t.Stat(p); err != nil || !st.Mode().IsRegular() {
			continue
		}
		if best.linux == "" || k.newer(best) {
			best = k
		}
	}
	if best.linux == "" {
		return best, fmt.Errorf("the tree has no kernel: looked for %s; install a kernel package in a stage before", strings.Join(append(kernelPaths(), modules+"/*/vmlinuz"), ", "))
	}
	return best, best.findInitrd(t)
}

// kernelVersion tells the version of a kernel by its path, "" if it does not
// say.
func kernelVersion(p string) string {
	base := path.Base(p)
	if base == "linux" || base == "vmlinuz" && path.Dir(p) != "boot" {
		return path.Base(path.Dir(p))
	}
	for _, prefix := range kernelNames {
		if v, ok := strings.CutPrefix(base, prefix); ok {
			return v
		}
	}
	return ""
}

func (k bootKernel) newer(other bootKernel) bool {
	a, b := strings.Contains(k.version, "rescue"), strings.Contains(other.version, "rescue")
	if a != b {
		return b
	}
	return uki.CompareVersions(k.version, other.version) > 0
}

// findInitrd finds the initrd of the kernel.
func (k *bootKernel) findInitrd(t *tree.Root) error {
	dir := path.Dir(k.linux)
	var candidates []string
	if dir != "boot" {
		candidates = []string{path.Join(dir, "initrd"), path.Join(dir, "initramfs.img")}
	}
	for _, pattern := range initrdPatterns {
		if k.version != "" {
			candidates = append(candidates, path.Join("boot", fmt.Sprintf(pattern, k.version)))
		}
	}
	if k.version == "" {
		candidates = append(candidates, "boot/initrd.img", "boot/initramfs.img", "boot/initrd")
	}
	for _, c := range candidates {
		st, err := t.Stat(c)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("looking for an initrd: %w", err)
		}
		if err == nil && st.Mode().IsRegular() {
			k.initrd = c
			return nil
		}
	}
	return fmt.Errorf("the kernel /%s has no initrd: looked for %s; install what makes one, such as initramfs-tools or dracut, in a stage before", k.linux, strings.Join(candidates, ", "))
}

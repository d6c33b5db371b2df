package assemblers

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/grubdir"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// findGrub looks at the tree before any long work and returns the directory of
// grub.cfg in it, without a leading slash. A tree without grub.cfg gives "":
// the disk then holds data. With one, there must be a kernel in the tree.
func findGrub(in *module.Input, required bool) (string, error) {
	t, err := tree.Open(in.Tree)
	if err != nil {
		return "", fmt.Errorf("the tree: %w", err)
	}
	defer t.Close()
	kernels, err := findKernels(t)
	if err != nil {
		return "", err
	}
	dir, own, err := grubDir(t)
	if err != nil {
		return "", err
	}
	if dir == "" {
		if required {
			return "", errors.New("boot loader: the tree has neither boot/grub2/grub.cfg nor boot/grub/grub.cfg: add the stage org.osbuild.grub2 before")
		}
		hint := "it holds no kernel either, so this is taken for a disk of data"
		if len(kernels) > 0 {
			hint = "it holds the kernel " + kernels[0] + ", so add the stage org.osbuild.grub2 before if the disk is to boot"
		}
		in.Logf("warning: the tree has neither boot/grub2/grub.cfg nor boot/grub/grub.cfg; the disk gets no boot loader; %s", hint)
		return "", nil
	}
	if len(kernels) == 0 {
		return "", fmt.Errorf("the tree has %s/grub.cfg but no kernel: looked for %s; install a kernel package in a stage before", dir, strings.Join(kernelPaths(), ", "))
	}
	if dir != own {
		in.Logf("warning: GRUB reads %s/grub.cfg, and the tools of the tree write to %s: a kernel that the system installs later gets no entry; run the stage org.osbuild.grub2 again", dir, own)
	}
	return dir, nil
}

// grubDir returns the directory of grub.cfg, "" if there is none. It is the
// tree's own, where its tools write, if both have one.
func grubDir(t *tree.Root) (dir, own string, err error) {
	if own, err = grubdir.Of(t); err != nil {
		return "", "", err
	}
	for _, d := range []string{own, grubdir.Renamed, grubdir.Plain} {
		st, err := t.Stat(d + "/grub.cfg")
		switch {
		case err == nil && st.Mode().IsRegular():
			return d, own, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", "", fmt.Errorf("looking for the boot loader's configuration: %w", err)
		}
	}
	return "", own, nil
}

// kernelPattern says where a kernel may be: the name of the file, the number
// of directories between it and the place.
type kernelPattern struct {
	place string
	name  string
	depth int
}

// kernelPatterns are the names under which kernels are installed: those of the
// distributions, and boot/MACHINE-ID/VERSION/linux of kernel-install.
var kernelPatterns = []kernelPattern{
	{"boot", "vmlinuz*", 0},
	{"boot", "vmlinux*", 0},
	{"boot", "bzImage*", 0},
	{"boot", "Image*", 0},
	{"boot", "linux", 2},
}

func kernelPaths() []string {
	var out []string
	for _, p := range kernelPatterns {
		out = append(out, p.place+"/"+strings.Repeat("*/", p.depth)+p.name)
	}
	return out
}

// findKernels lists the kernels of the tree.
func findKernels(t *tree.Root) ([]string, error) {
	var out []string
	for _, p := range kernelPatterns {
		dirs := []string{p.place}
		for range p.depth {
			var below []string
			for _, d := range dirs {
				entries, err := readDir(t, d)
				if err != nil {
					return nil, err
				}
				for _, e := range entries {
					if e.IsDir() {
						below = append(below, d+"/"+e.Name())
					}
				}
			}
			dirs = below
		}
		for _, d := range dirs {
			entries, err := readDir(t, d)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if ok, _ := path.Match(p.name, e.Name()); ok {
					out = append(out, d+"/"+e.Name())
				}
			}
		}
	}
	return out, nil
}

// readDir lists a directory of the tree; one that is missing is empty.
func readDir(t *tree.Root, dir string) ([]fs.DirEntry, error) {
	st, err := t.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a kernel: %w", err)
	}
	return t.ReadDir(dir)
}

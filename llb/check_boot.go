package llb

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

const (
	diskAssembler = "org.osbuild.qemu"
	grubStage     = "org.osbuild.grub2"
	grubLoader    = "grub2"
)

// grubReads are the file systems of a disk that GRUB reads.
var grubReads = []string{"ext4", "xfs", "btrfs", "vfat"}

// bootFilesystem is a file system of a disk.
type bootFilesystem struct {
	Type       string `json:"type"`
	Mountpoint string `json:"mountpoint"`
}

// bootOptions are what decides whether a disk boots.
type bootOptions struct {
	PTType     string `json:"pttype"`
	Bootloader *struct {
		Type string `json:"type"`
	} `json:"bootloader"`
	Partitions []struct {
		Filesystem *bootFilesystem `json:"filesystem"`
		LVM        struct {
			Volumes []struct {
				Filesystem *bootFilesystem `json:"filesystem"`
			} `json:"volumes"`
		} `json:"lvm"`
	} `json:"partitions"`
}

// boots checks that GRUB can read its own configuration on the disk. That is
// refused by the assembler as well, but after all stages of the tree.
func (c *check) boots() {
	var o bootOptions
	if json.Unmarshal(c.at.stage.Options, &o) != nil {
		return
	}
	if trees := c.graph.m.Trees(c.at.stage); len(trees) > 0 {
		c.grub(trees[0], &o)
	}
}

func (c *check) grub(tree *manifest.Pipeline, o *bootOptions) {
	configured := slices.ContainsFunc(tree.Stages, func(s *manifest.Stage) bool { return s.Kind == module.Stage && s.Type == grubStage })
	if o.Bootloader == nil && (!configured || strings.EqualFold(o.PTType, "gpt")) || o.Bootloader != nil && o.Bootloader.Type != grubLoader {
		return
	}
	if f, path := o.holds("/boot/" + grubLoader); f != nil && !slices.Contains(grubReads, f.Type) {
		c.add(fmt.Errorf("GRUB reads no %s, and this file system holds /boot: put /boot on a file system of its own (%s), or set \"bootloader\" to \"uki\" or \"systemd-boot\"",
			f.Type, strings.Join(grubReads[:3], ", ")), path...)
		return
	}
	if o.Bootloader != nil && !configured && c.closed(tree) {
		c.add(errors.New("GRUB finds nothing to boot: no stage writes its configuration; add the stage "+grubStage+" to the tree"), "options", "bootloader")
	}
}

// holds returns the file system of a file, and the way to its type.
func (o *bootOptions) holds(name string) (best *bootFilesystem, path []string) {
	look := func(f *bootFilesystem, at ...string) {
		if f == nil || f.Mountpoint == "" {
			return
		}
		inside := f.Mountpoint == "/" || name == f.Mountpoint || strings.HasPrefix(name, f.Mountpoint+"/")
		if inside && (best == nil || len(f.Mountpoint) > len(best.Mountpoint)) {
			best, path = f, append([]string{"options", "partitions"}, append(at, "filesystem", "type")...)
		}
	}
	for i, p := range o.Partitions {
		look(p.Filesystem, strconv.Itoa(i))
		for j, v := range p.LVM.Volumes {
			look(v.Filesystem, strconv.Itoa(i), "lvm", "volumes", strconv.Itoa(j))
		}
	}
	return best, path
}

// harmless are stages that write no configuration of GRUB, nor anything that
// would.
var harmless = []string{
	"org.osbuildkit.debootstrap", "org.osbuildkit.apt", "org.osbuild.hostname", "org.osbuild.fstab", "org.osbuild.systemd", "org.osbuild.users",
	"org.osbuild.groups", "org.osbuild.locale", "org.osbuild.keymap", "org.osbuild.timezone", "org.osbuild.kernel-cmdline", "org.osbuild.noop",
}

// closed reports whether all that is in a tree is known to have nothing to do
// with GRUB: a package of GRUB's, an archive or a script may write its
// configuration.
func (c *check) closed(tree *manifest.Pipeline) bool {
	if len(tree.Stages) == 0 || tree.Base != "" {
		return false
	}
	for _, s := range tree.Stages {
		if c.own != nil && c.own(s.Kind, s.Type) || !slices.Contains(harmless, s.Type) {
			return false
		}
		if strings.Contains(s.Type, "osbuildkit") && strings.Contains(string(s.Options), "grub") {
			return false
		}
	}
	return true
}

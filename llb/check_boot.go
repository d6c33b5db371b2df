package llb

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/gpt"
	"github.com/osbuildkit/osbuildkit/internal/grubdir"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages"
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
		Type       string          `json:"type"`
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
	plain := !strings.EqualFold(o.PTType, "gpt")
	switch {
	case o.Bootloader == nil && configured && !plain && !o.hasEFI():
		c.add(errors.New("no firmware starts this disk: the stage "+grubStage+" writes a configuration of GRUB, and a GPT gets no boot loader by itself; "+
			"add \"bootloader\": {\"type\": \"grub2\"} with the partition that its platform wants, or make the partition table a DOS one"), "options", "pttype")
		return
	case o.Bootloader == nil && (!configured || !plain), o.Bootloader != nil && o.Bootloader.Type != grubLoader:
		return
	}
	if f, path := o.unreadable(grubPlaces(tree, configured)); f != nil {
		c.add(fmt.Errorf("GRUB reads no %s, and this file system holds /boot: put /boot on a file system of its own (%s), or set \"bootloader\" to \"uki\" or \"systemd-boot\"",
			f.Type, strings.Join(grubReads[:3], ", ")), path...)
		return
	}
	if o.Bootloader != nil && !configured && c.closed(tree) {
		c.add(errors.New("GRUB finds nothing to boot: no stage writes its configuration; add the stage "+grubStage+" to the tree"), "options", "bootloader")
	}
}

// grubPlaces are the directories in which the configuration of GRUB may be. The
// stage writes it where the system's own tools do; what else writes it may
// choose, and so may a system that the manifest does not tell.
func grubPlaces(tree *manifest.Pipeline, configured bool) []string {
	for _, s := range tree.Stages {
		switch {
		case !configured || s.Kind != module.Stage:
		case s.Type == packages.DebootstrapStage, s.Type == packages.AptStage:
			return []string{"/" + grubdir.Plain}
		case s.Type == packages.DnfStage, s.Type == packages.YumStage, s.Type == packages.RPMStage:
			return []string{"/" + grubdir.Renamed}
		}
	}
	return []string{"/" + grubdir.Plain, "/" + grubdir.Renamed}
}

// unreadable returns the file system that GRUB would have to read and cannot,
// if it can read none of the places, and the way to its type.
func (o *bootOptions) unreadable(places []string) (f *bootFilesystem, path []string) {
	for _, place := range places {
		if f, path = o.holds(place); f == nil || slices.Contains(grubReads, f.Type) {
			return nil, nil
		}
	}
	return f, path
}

// hasEFI reports whether the disk has a partition from which UEFI starts what
// the tree may have put there.
func (o *bootOptions) hasEFI() bool {
	for _, p := range o.Partitions {
		kind, err := gpt.ParseType(p.Type)
		if err == nil && kind == gpt.TypeESP {
			return true
		}
		if f := p.Filesystem; p.Type == "" && f != nil && f.Type == "vfat" && (f.Mountpoint == "/boot/efi" || f.Mountpoint == "/efi") {
			return true
		}
	}
	return false
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

package lint

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// diskOptions are what the assemblers that make disks have in common.
type diskOptions struct {
	Size       int64       `json:"size"`
	PTType     string      `json:"pttype"`
	PTUUID     string      `json:"ptuuid"`
	RootFSUUID string      `json:"root_fs_uuid"`
	Partitions []partition `json:"partitions"`
}

type partition struct {
	// Start and Size are in sectors; zero is not given, as for osbuild.
	Start      int64      `json:"start"`
	Size       int64      `json:"size"`
	Filesystem filesystem `json:"filesystem"`
	LVM        struct {
		Volumes []struct {
			Filesystem filesystem `json:"filesystem"`
		} `json:"volumes"`
	} `json:"lvm"`
	LUKS *struct {
		VolumeKey string `json:"volume_key"`
		Label     string `json:"label"`
	} `json:"luks"`
	Name string `json:"name"`
	UUID string `json:"uuid"`
}

type filesystem struct {
	Type       string `json:"type"`
	Label      string `json:"label"`
	Mountpoint string `json:"mountpoint"`
	UUID       string `json:"uuid"`
}

func randomVolumeKey(p *pass) {
	p.disks(func(at *manifest.Pipeline, s *manifest.Stage, o diskOptions) {
		for i, q := range o.Partitions {
			if q.LUKS != nil && q.LUKS.VolumeKey != "derived" {
				p.atOption(at, s, []string{"partitions", strconv.Itoa(i), "luks"},
					"its volume key is random, so that each build gives another image: set volume_key to derived where that matters")
			}
		}
	})
}

// fatLabel is the length of the longest label of a FAT in bytes.
const fatLabel = 11

var wholeUUID = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

func shortenedIdentifier(p *pass) {
	p.disks(func(at *manifest.Pipeline, s *manifest.Stage, o diskOptions) {
		if !strings.EqualFold(o.PTType, "gpt") && wholeUUID.MatchString(o.PTUUID) {
			p.atOption(at, s, []string{"ptuuid"}, "a DOS partition table has room for eight digits, so the disk gets the identifier 0x%s: give that, or set pttype to gpt", strings.ToLower(o.PTUUID[:8]))
		}
		for _, f := range o.filesystems() {
			if f.Type == "vfat" && len(f.Label) > fatLabel {
				p.atOption(at, s, append(f.path, "label"), "the label of a FAT has at most %d bytes, so this one is cut to %s: give a shorter one", fatLabel, quote(strings.TrimRight(f.Label[:fatLabel], " ")))
			}
		}
	})
}

// placedFilesystem is a file system with the way to it in the options.
type placedFilesystem struct {
	filesystem
	path []string
}

// filesystems lists those of all partitions and volumes.
func (o *diskOptions) filesystems() []placedFilesystem {
	var out []placedFilesystem
	for i, q := range o.Partitions {
		at := []string{"partitions", strconv.Itoa(i)}
		out = append(out, placedFilesystem{q.Filesystem, append(slices.Clone(at), "filesystem")})
		for j, v := range q.LVM.Volumes {
			out = append(out, placedFilesystem{v.Filesystem, append(slices.Clone(at), "lvm", "volumes", strconv.Itoa(j), "filesystem")})
		}
	}
	return out
}

// disks calls fn for each assembler that makes a disk.
func (p *pass) disks(fn func(at *manifest.Pipeline, s *manifest.Stage, o diskOptions)) {
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		if s.Kind != module.Assembler || s.Type != "org.osbuild.qemu" && s.Type != "org.osbuild.rawfs" {
			return
		}
		var o diskOptions
		decode(s, &o)
		fn(at, s, o)
	})
}

const mib = 1 << 20

func unalignedDiskSize(p *pass) {
	p.disks(func(at *manifest.Pipeline, s *manifest.Stage, o diskOptions) {
		if o.Size > 0 && o.Size%mib != 0 {
			next := (o.Size/mib + 1) * mib
			p.atOption(at, s, []string{"size"}, "%d is not a whole number of MiB, which some hypervisors and clouds refuse: the next is %d", o.Size, next)
		}
	})
}

// mounted returns the UUIDs of a disk's file systems by mount point.
func (o *diskOptions) mounted() map[string]string {
	out := map[string]string{}
	if o.RootFSUUID != "" {
		out["/"] = o.RootFSUUID
	}
	for _, f := range o.filesystems() {
		if f.Mountpoint != "" && f.UUID != "" {
			out[f.Mountpoint] = f.UUID
		}
	}
	return out
}

// mention is a place in a stage's options that names a file system by UUID.
type mention struct {
	path       []string
	mountpoint string
	uuid       string
}

// mentions lists what a stage says about file systems.
func mentions(s *manifest.Stage) []mention {
	switch s.Type {
	case "org.osbuild.fstab":
		var o struct {
			Filesystems []struct{ UUID, Path string } `json:"filesystems"`
		}
		decode(s, &o)
		var out []mention
		for i, f := range o.Filesystems {
			out = append(out, mention{[]string{"filesystems", strconv.Itoa(i), "uuid"}, f.Path, f.UUID})
		}
		return out
	case "org.osbuild.grub2", "org.osbuild.grub2.legacy", "org.osbuild.kernel-cmdline":
		type fs struct {
			UUID string `json:"uuid"`
		}
		var o struct {
			RootFSUUID string `json:"root_fs_uuid"`
			BootFSUUID string `json:"boot_fs_uuid"`
			RootFS     fs     `json:"rootfs"`
			BootFS     fs     `json:"bootfs"`
		}
		decode(s, &o)
		return []mention{
			{[]string{"root_fs_uuid"}, "/", o.RootFSUUID}, {[]string{"rootfs", "uuid"}, "/", o.RootFS.UUID},
			{[]string{"boot_fs_uuid"}, "/boot", o.BootFSUUID}, {[]string{"bootfs", "uuid"}, "/boot", o.BootFS.UUID},
		}
	}
	return nil
}

func filesystemMismatch(p *pass) {
	p.disks(func(_ *manifest.Pipeline, assembler *manifest.Stage, o diskOptions) {
		mounted := o.mounted()
		for _, tree := range p.m.Trees(assembler) {
			for _, s := range tree.Stages {
				for _, q := range mentions(s) {
					if want := mounted[q.mountpoint]; q.uuid != "" && want != "" && !strings.EqualFold(q.uuid, want) {
						p.atOption(tree, s, q.path, "the assembler gives the file system of %s the UUID %s, so nothing is found under %s: name the same",
							quote(q.mountpoint), quote(want), quote(q.uuid))
					}
				}
			}
		}
	})
}

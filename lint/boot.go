package lint

import (
	"regexp"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// kernelPackage matches packages that are a kernel or depend on one, in Debian
// and Ubuntu.
var kernelPackage = regexp.MustCompile(`^(linux-(image|generic|virtual|kvm|lowlatency|aws|azure|gcp|oracle|raspi|oem|signed|xanmod)|.*kernel|proxmox|pve-)`)

// noKernel looks at disks of Debian that are to boot. What packages of an RPM
// distribution bring nobody can tell from their names: groups have kernels.
func noKernel(p *pass) {
	p.bootDisks(func(d *bootDisk) {
		grub := d.stage("org.osbuild.grub2")
		if grub == nil && d.loader == "" || !d.debian || d.open || d.more || d.has(kernelPackage) {
			return
		}
		const text = "the disk is to boot, and no package of its tree is a kernel: add one to the stage %s, such as linux-image-cloud-amd64"
		if d.loader != "" {
			p.atOption(d.place, d.assembler, []string{"bootloader"}, text, aptStage)
			return
		}
		p.atStage(d.at, grub, text, aptStage)
	})
}

// bootDisk is a disk of the assembler qemu and the tree that it is made from.
type bootDisk struct {
	contents
	assembler *manifest.Stage
	place     *manifest.Pipeline
	// loader is the type of boot loader that is asked for.
	loader string
}

// bootDisks calls fn for each disk. Of a file system alone nothing boots.
func (p *pass) bootDisks(fn func(d *bootDisk)) {
	p.disks(func(place *manifest.Pipeline, s *manifest.Stage, _ diskOptions) {
		if s.Type != "org.osbuild.qemu" {
			return
		}
		var b struct {
			Bootloader struct {
				Type string `json:"type"`
			} `json:"bootloader"`
		}
		decode(s, &b)
		if trees := p.m.Trees(s); len(trees) > 0 {
			fn(&bootDisk{contents: p.contentsOf(trees[0]), assembler: s, place: place, loader: b.Bootloader.Type})
		}
	})
}

package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/manifest"
)

const grubStage = "org.osbuild.grub2"

var (
	// kernelPackage matches packages that are a kernel or depend on one, in Debian
	// and Ubuntu.
	kernelPackage = regexp.MustCompile(`^(linux-(image|generic|virtual|kvm|lowlatency|aws|azure|gcp|oracle|raspi|oem|signed|xanmod)|.*kernel|proxmox|pve-)`)
	// armKernel matches those for arm64, by Debian's names.
	armKernel = regexp.MustCompile(`^linux-image-.*arm64`)
	// virtualKernel matches kernels for virtual machines alone.
	virtualKernel = regexp.MustCompile(`^linux-(image-)?.*(cloud|virtual|kvm|aws|azure|gcp|oracle)`)
	// loaderPackage matches packages that may put a boot loader into the tree, or
	// onto the disk when they are installed. GRUB's tools and modules do not.
	loaderPackage = regexp.MustCompile(`^(grub-(pc|efi|xen|cloud|ieee1275|coreboot)[a-z0-9-]*|shim-signed|systemd-boot|systemd-boot-.*|refind|extlinux|syslinux.*|lilo|elilo|u-boot.*|flash-kernel|raspi-firmware|s390-tools)$`)
	// modulesPackage matches what loaderPackage takes for more than it is.
	modulesPackage = regexp.MustCompile(`^(grub-.*-bin|systemd-boot-efi.*|systemd-boot-tools)$`)
)

// noKernel looks at disks of Debian that are to boot. What packages of an RPM
// distribution bring nobody can tell from their names: groups have kernels.
func noKernel(p *pass) {
	p.bootDisks(func(d *bootDisk) {
		grub := d.stage(grubStage)
		if grub == nil && d.loader == "" || !d.known() || d.has(kernelPackage) {
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

// noBootLoader looks for disks with a kernel that nothing starts.
func noBootLoader(p *pass) {
	p.bootDisks(func(d *bootDisk) {
		if d.loader != "" || !d.known() || !d.has(kernelPackage) || d.brings() {
			return
		}
		grub := d.stage(grubStage)
		switch {
		case d.gpt && grub != nil:
			p.atOption(d.place, d.assembler, []string{"pttype"}, "a disk with a GPT gets no boot loader by itself, and nothing of the tree is one: add \"bootloader\": {\"type\": \"grub2\"} with its platform")
		case grub == nil:
			p.atStage(d.place, d.assembler, "the tree has a kernel, and nothing starts it: add the stage %s, or \"bootloader\" with the type uki or systemd-boot", grubStage)
		case d.all(armKernel):
			p.atStage(d.place, d.assembler, "the kernel is for arm64, whose firmware is UEFI, and the disk gets GRUB for a BIOS: "+
				"add an EFI system partition and \"bootloader\" with the platform arm64-efi")
		}
	})
}

// brings reports whether a package or a stage may bring a boot loader.
func (d *bootDisk) brings() bool {
	if grub := d.stage(grubStage); grub != nil {
		var o struct {
			UEFI struct {
				Install bool `json:"install"`
			} `json:"uefi"`
		}
		if decode(grub, &o); o.UEFI.Install {
			return true
		}
	}
	return d.stage("org.osbuild.zipl") != nil || slices.ContainsFunc(d.packages, func(name string) bool {
		return loaderPackage.MatchString(name) && !modulesPackage.MatchString(name)
	})
}

// serialFormats are the formats of images for machines that are watched over a
// serial line: those of qemu and OpenStack, of Azure and of Google.
var serialFormats = []string{"qcow2", "vpc", "gce"}

// noSerialConsole looks for virtual machines that say nothing where they are
// watched.
func noSerialConsole(p *pass) {
	p.bootDisks(func(d *bootDisk) {
		// The firmware of arm64 says which console the kernel has.
		if !d.boots() || !d.known() || !d.has(kernelPackage) || d.all(armKernel) || !d.has(virtualKernel) && !slices.Contains(serialFormats, d.format) {
			return
		}
		words := []string{"console=", "getty@"}
		said := hasWord(d.assembler.Options, words)
		for _, s := range d.at.Stages {
			// A unified kernel image has a command line of its own.
			said = said || (d.loader == "" || d.loader == "grub2" || s.Type == "org.osbuild.systemd") && hasWord(s.Options, words)
		}
		if said {
			return
		}
		const text = "the kernel's messages and the login go to the screen alone, which no cloud shows: add \"console=tty0 console=ttyS0\" to \"kernel_opts\""
		if grub := d.stage(grubStage); grub != nil && (d.loader == "" || d.loader == "grub2") {
			p.atStage(d.at, grub, text)
			return
		}
		p.atOption(d.place, d.assembler, []string{"bootloader"}, text)
	})
}

// bootDisk is a disk of the assembler qemu and the tree that it is made from.
type bootDisk struct {
	contents
	assembler *manifest.Stage
	place     *manifest.Pipeline
	// loader is the type of boot loader that is asked for.
	loader string
	format string
	gpt    bool
}

// known reports whether the lists of packages say what is in the tree.
func (d *bootDisk) known() bool { return d.debian && !d.open && !d.more }

// boots reports whether the disk is to boot.
func (d *bootDisk) boots() bool { return d.loader != "" || d.stage(grubStage) != nil }

// all reports whether the kernels of the tree all match.
func (d *bootDisk) all(kernels *regexp.Regexp) bool {
	return !slices.ContainsFunc(d.packages, func(name string) bool { return kernelPackage.MatchString(name) && !kernels.MatchString(name) })
}

// bootDisks calls fn for each disk. Of a file system alone nothing boots.
func (p *pass) bootDisks(fn func(d *bootDisk)) {
	p.disks(func(place *manifest.Pipeline, s *manifest.Stage, o diskOptions) {
		if s.Type != "org.osbuild.qemu" {
			return
		}
		var b struct {
			Format     string `json:"format"`
			Bootloader struct {
				Type string `json:"type"`
			} `json:"bootloader"`
		}
		decode(s, &b)
		if trees := p.m.Trees(s); len(trees) > 0 {
			fn(&bootDisk{
				contents: p.contentsOf(trees[0]), assembler: s, place: place,
				loader: b.Bootloader.Type, format: b.Format, gpt: strings.EqualFold(o.PTType, "gpt"),
			})
		}
	})
}

package grub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

// platform is one of GRUB's platforms.
type platform struct {
	// pkg is the package of Debian that brings it.
	pkg string
	// efi is the name of the program that firmware starts from a removable
	// disk, empty where it does not do that.
	efi string
	// first are the modules that only this platform has and needs.
	first []string
	// files are what is needed beside modules.
	files []string
}

// Names of platforms.
const (
	BIOS     = "i386-pc"
	UEFI     = "x86_64-efi"
	UEFIARM  = "arm64-efi"
	OpenFirm = "powerpc-ieee1275"
)

var platforms = map[string]platform{
	BIOS:          {pkg: "grub-pc-bin (and grub-common)", first: []string{"biosdisk"}, files: []string{"boot.img", "kernel.img", "diskboot.img"}},
	UEFI:          {pkg: "grub-efi-amd64-bin (and grub-common)", efi: "BOOTX64.EFI", files: []string{"kernel.img"}},
	"i386-efi":    {pkg: "grub-efi-ia32-bin (and grub-common)", efi: "BOOTIA32.EFI", files: []string{"kernel.img"}},
	UEFIARM:       {pkg: "grub-efi-arm64-bin (and grub-common)", efi: "BOOTAA64.EFI", files: []string{"kernel.img"}},
	"riscv64-efi": {pkg: "grub-efi-riscv64-bin (and grub-common)", efi: "BOOTRISCV64.EFI", files: []string{"kernel.img"}},
	OpenFirm:      {pkg: "grub-ieee1275-bin (and grub-common)", files: []string{"kernel.img"}},
}

// Platforms returns the names of the platforms that are supported.
func Platforms() []string { return slices.Sorted(maps.Keys(platforms)) }

// EFIProgram returns the name of the program that UEFI firmware starts from
// EFI/BOOT, empty for another platform.
func EFIProgram(name string) string { return platforms[name].efi }

// filesystems maps file systems to the modules that read them.
var filesystems = map[string]string{"ext4": "ext2", "xfs": "xfs", "btrfs": "btrfs", "vfat": "fat"}

// Reads reports whether GRUB can read a file system.
func Reads(filesystem string) bool { return filesystems[filesystem] != "" }

// common are the modules without which nothing boots; optional ones are built
// in where the build root has them. All of them are built in even if the tree
// has modules of its own: those may belong to another version of GRUB, and a
// module of another version breaks.
var (
	common   = []string{"search", "search_fs_uuid", "normal", "configfile", "linux", "boot", "test", "echo"}
	optional = []string{
		"part_gpt", "search_label", "search_fs_file", "serial", "terminal", "terminfo", "minicmd", "ls", "cat", "loadenv",
		"blscfg", "increment", "regexp", "true", "sleep", "halt", "reboot", "linux16", "gzio", "all_video",
	}
	// optionalEFI are for graphics, other loaders and the firmware's menu, and what
	// the configuration of update-grub loads: there are no modules on the disk.
	optionalEFI = []string{"part_msdos", "fat", "ext2", "xfs", "btrfs", "efi_gop", "gfxterm", "font", "chain", "fwsetup", "linuxefi", "tpm", "gettext", "gfxterm_background", "png"}
)

// CoreOptions says what the core image is to do.
type CoreOptions struct {
	// BuildRoot is the directory of the build root, "/" in a step.
	BuildRoot string
	// Platform is one of Platforms.
	Platform string
	// GPT says that the disk has a GPT and no DOS partition table.
	GPT bool
	// Filesystem is the type of the file system that holds grub.cfg, such as
	// ext4, and UUID its identifier as blkid writes it.
	Filesystem, UUID string
	// Prefix is the directory of grub.cfg in that file system, such as
	// "/boot/grub2".
	Prefix string
	// Scratch is a directory for temporary files.
	Scratch string
}

// Images are the two pieces of boot code, not yet patched.
type Images struct {
	// Boot is the first sector, boot.img. Only BIOS has it.
	Boot []byte
	// Core is the core image.
	Core []byte
}

// maxCore is the size of the largest core image that fits into memory where
// GRUB loads it: 0x9000 up to 0x78000.
const maxCore = 0x78000 - 0x9000

// Find reports whether the build root has what Build needs, and else which
// package is missing.
func (o *CoreOptions) Find() error {
	_, _, err := o.find()
	return err
}

func (o *CoreOptions) find() (program, dir string, err error) {
	p, ok := platforms[o.Platform]
	if !ok {
		return "", "", fmt.Errorf("the platform %q is not supported: use %s", o.Platform, strings.Join(Platforms(), ", "))
	}
	dir = filepath.Join(o.BuildRoot, "usr/lib/grub", o.Platform)
	for _, name := range append(slices.Clone(p.files), moduleFiles(o.required())...) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("the build root has no %s: add the package %s to it", filepath.Join("/usr/lib/grub", o.Platform, name), p.pkg)
			}
			return "", "", err
		}
	}
	program, err = tool.Find(p.pkg, "grub-mkimage", "grub2-mkimage")
	return program, dir, err
}

// required lists the modules that are needed.
func (o *CoreOptions) required() []string {
	table := "part_msdos"
	if o.GPT {
		table = "part_gpt"
	}
	out := append(slices.Clone(platforms[o.Platform].first), table, filesystems[o.Filesystem])
	return append(out, common...)
}

// modules lists the modules that are built in.
func (o *CoreOptions) modules(dir string) []string {
	out := o.required()
	more := optional
	if EFIProgram(o.Platform) != "" {
		more = append(slices.Clone(optional), optionalEFI...)
	}
	for _, m := range more {
		if _, err := os.Stat(filepath.Join(dir, m+".mod")); err == nil && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

func moduleFiles(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n + ".mod"
	}
	return out
}

// Build makes the boot code with the grub-mkimage of the build root.
func Build(ctx context.Context, o CoreOptions) (*Images, error) {
	program, dir, err := o.find()
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(o.Prefix, "'\"\\ \n$;") || !strings.HasPrefix(o.Prefix, "/") {
		return nil, fmt.Errorf("%q cannot be GRUB's directory", o.Prefix)
	}
	config := filepath.Join(o.Scratch, "early.cfg")
	core := filepath.Join(o.Scratch, "core.img")
	defer os.Remove(config)
	defer os.Remove(core)
	if err := os.WriteFile(config, EarlyConfig(o.UUID, o.Prefix), 0o600); err != nil {
		return nil, err
	}
	args := append([]string{"-d", dir, "-O", o.Platform, "-p", o.Prefix, "-c", config, "-o", core}, o.modules(dir)...)
	if _, err := tool.Run(ctx, nil, program, args...); err != nil {
		return nil, err
	}
	var out Images
	if out.Core, err = os.ReadFile(core); err != nil || o.Platform != BIOS {
		return &out, err
	}
	out.Boot, err = os.ReadFile(filepath.Join(dir, "boot.img"))
	return &out, err
}

// EarlyConfig is run by the core image before it reads grub.cfg: it finds the
// file system with the given identifier.
func EarlyConfig(uuid, prefix string) []byte {
	return fmt.Appendf(nil, "search.fs_uuid %s root\nset prefix=($root)%s\n", uuid, prefix)
}

// Offsets in the two images.
const (
	codeSize     = 440   // what of boot.img goes onto the disk
	kernelSector = 0x5c  // in boot.img: first sector of the core image, 64 bits
	driveCheck   = 0x66  // in boot.img: a jump that trusts the BIOS's drive
	firstList    = 0x1f4 // in core.img: first sector of its second sector, 64 bits
)

// Install writes the boot code onto a disk: boot.img to the first 440 bytes,
// the core image from sector first on. end is the first sector that the core
// image may not use, usually the start of the first partition.
func Install(w io.WriterAt, img *Images, first, end uint64) error {
	if len(img.Boot) != disk.SectorSize || img.Boot[510] != 0x55 || img.Boot[511] != 0xaa {
		return fmt.Errorf("boot.img is not a boot sector of %d bytes", disk.SectorSize)
	}
	if len(img.Core) <= disk.SectorSize {
		return fmt.Errorf("the core image has only %d bytes", len(img.Core))
	}
	if len(img.Core) > maxCore {
		return fmt.Errorf("the core image has %d bytes, and GRUB can load %d", len(img.Core), maxCore)
	}
	sectors := uint64(len(img.Core)+disk.SectorSize-1) / disk.SectorSize
	if first == 0 || end < first || sectors > end-first {
		return fmt.Errorf("the core image needs %d sectors, and there is room from sector %d to %d", sectors, first, end)
	}
	boot := append([]byte(nil), img.Boot[:codeSize]...)
	binary.LittleEndian.PutUint64(boot[kernelSector:], first)
	// Some BIOSes pass a wrong drive number for a disk; two no-operations in
	// the place of the jump let boot.img correct it, as grub-bios-setup does.
	boot[driveCheck], boot[driveCheck+1] = 0x90, 0x90
	core := append([]byte(nil), img.Core...)
	binary.LittleEndian.PutUint64(core[firstList:], first+1)
	if _, err := w.WriteAt(core, int64(first)*disk.SectorSize); err != nil {
		return err
	}
	_, err := w.WriteAt(boot, 0)
	return err
}

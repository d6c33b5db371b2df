package grub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

// Package is the package of Debian that brings what this package needs. Other
// distributions call it grub2-pc-modules and grub2-tools.
const Package = "grub-pc-bin (and grub-common)"

// Platform is GRUB's name of the only platform that is supported.
const Platform = "i386-pc"

// required are the modules without which an image does not boot from an ext4
// file system; optional ones are built in where the build root has them. All
// of them are built in even if the tree has modules of its own: those may
// belong to another version of GRUB, and a module of another version breaks.
var (
	required = []string{"biosdisk", "part_msdos", "ext2", "search", "search_fs_uuid", "normal", "configfile", "linux", "boot", "test", "echo"}
	optional = []string{
		"part_gpt", "search_label", "search_fs_file", "serial", "terminal", "terminfo", "minicmd", "ls", "cat", "loadenv",
		"blscfg", "increment", "regexp", "true", "sleep", "halt", "reboot", "linux16", "gzio", "all_video",
	}
)

// CoreOptions says what the core image is to do.
type CoreOptions struct {
	// BuildRoot is the directory of the build root, "/" in a step.
	BuildRoot string
	// UUID is that of the file system that holds grub.cfg.
	UUID disk.UUID
	// Prefix is the directory of grub.cfg in that file system, such as
	// "/boot/grub2".
	Prefix string
	// Scratch is a directory for temporary files.
	Scratch string
}

// Images are the two pieces of boot code, not yet patched.
type Images struct {
	// Boot is the first sector, boot.img.
	Boot []byte
	// Core is the core image.
	Core []byte
}

// maxCore is the size of the largest core image that fits into memory where
// GRUB loads it: 0x9000 up to 0x78000.
const maxCore = 0x78000 - 0x9000

// Find reports whether the build root has what Build needs, and else which
// package is missing.
func Find(buildRoot string) error {
	_, _, err := find(buildRoot)
	return err
}

func find(buildRoot string) (program, dir string, err error) {
	dir = filepath.Join(buildRoot, "usr/lib/grub", Platform)
	for _, name := range append([]string{"boot.img", "kernel.img", "diskboot.img"}, moduleFiles(required)...) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("the build root has no %s: add the package %s to it", filepath.Join("/usr/lib/grub", Platform, name), Package)
			}
			return "", "", err
		}
	}
	program, err = tool.Find(Package, "grub-mkimage", "grub2-mkimage")
	return program, dir, err
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
	program, dir, err := find(o.BuildRoot)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(o.Prefix, "'\"\\ \n$;") || !strings.HasPrefix(o.Prefix, "/") {
		return nil, fmt.Errorf("%q cannot be GRUB's directory", o.Prefix)
	}
	modules := append([]string(nil), required...)
	for _, m := range optional {
		if _, err := os.Stat(filepath.Join(dir, m+".mod")); err == nil {
			modules = append(modules, m)
		}
	}
	config := filepath.Join(o.Scratch, "early.cfg")
	core := filepath.Join(o.Scratch, "core.img")
	defer os.Remove(config)
	defer os.Remove(core)
	if err := os.WriteFile(config, earlyConfig(o.UUID, o.Prefix), 0o600); err != nil {
		return nil, err
	}
	args := append([]string{"-d", dir, "-O", Platform, "-p", o.Prefix, "-c", config, "-o", core}, modules...)
	if _, err := tool.Run(ctx, nil, program, args...); err != nil {
		return nil, err
	}
	var out Images
	if out.Core, err = os.ReadFile(core); err != nil {
		return nil, err
	}
	out.Boot, err = os.ReadFile(filepath.Join(dir, "boot.img"))
	return &out, err
}

// earlyConfig is run by the core image before it reads grub.cfg.
func earlyConfig(uuid disk.UUID, prefix string) []byte {
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

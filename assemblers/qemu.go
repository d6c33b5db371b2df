package assemblers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/ext4"
	"github.com/osbuildkit/osbuildkit/disk/grub"
	"github.com/osbuildkit/osbuildkit/disk/mbr"
	"github.com/osbuildkit/osbuildkit/module"
)

// QemuOptions are the options of org.osbuild.qemu.
type QemuOptions struct {
	FormatOptions
	// Filename is the name of the image file in the output directory.
	Filename string `json:"filename" jsonschema:"required,minLength=1,maxLength=255"`
	// PTUUID is the signature of the disk: 0x and up to eight hexadecimal digits.
	PTUUID string `json:"ptuuid" jsonschema:"required,example=0x14fc63d2"`
	// RootFSUUID is the UUID of the root file system. The boot loader finds
	// the file system by it.
	RootFSUUID string `json:"root_fs_uuid" jsonschema:"required,example=76a22bf4-f153-4541-b6c7-0332c0dfaeac"`
	// RootFSType is the type of the root file system; ext4 by default.
	RootFSType string `json:"root_fs_type,omitempty" jsonschema:"enum=ext4,enum=xfs,enum=btrfs,default=ext4"`
	// Size is the size of the disk in bytes, a multiple of 512.
	Size int64 `json:"size" jsonschema:"required,minimum=1"`
}

// Where things are on the disk, in sectors.
const (
	coreStart = 1    // GRUB's core image follows the partition table
	rootStart = 2048 // the partition starts at 1 MiB, as everybody's does
)

// qemuPlan is what the options mean.
type qemuPlan struct {
	options   QemuOptions
	signature uint32
	uuid      disk.UUID
}

// sectors returns the number of sectors of the disk.
func (p *qemuPlan) sectors() uint64 { return uint64(p.options.Size) / disk.SectorSize }

// table returns the partition table: one bootable Linux partition that takes
// all of the disk behind its first MiB.
func (p *qemuPlan) table() *mbr.Table {
	return &mbr.Table{Signature: p.signature, Partitions: []mbr.Partition{
		{Start: rootStart, Sectors: p.sectors() - rootStart, Type: mbr.TypeLinux, Bootable: true},
	}}
}

// checkQemu reports what the schema cannot say about the options.
func checkQemu(options json.RawMessage) []module.Problem {
	var o QemuOptions
	if err := json.Unmarshal(options, &o); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) && te.Field == "size" {
			return []module.Problem{{Pointer: "/size", Message: fmt.Sprintf("%s is not a number of bytes: write it as a whole number in plain digits", te.Value)}}
		}
		return []module.Problem{{Message: err.Error()}}
	}
	_, problems := planQemu(o)
	return problems
}

func planQemu(o QemuOptions) (*qemuPlan, []module.Problem) {
	p := &qemuPlan{options: o}
	var problems []module.Problem
	add := func(pointer string, err error) {
		if err != nil {
			problems = append(problems, module.Problem{Pointer: pointer, Message: err.Error()})
		}
	}
	var err error
	add("/filename", checkFilename(o.Filename))
	p.signature, err = mbr.ParseSignature(o.PTUUID)
	add("/ptuuid", err)
	p.uuid, err = disk.ParseUUID(o.RootFSUUID)
	add("/root_fs_uuid", err)
	add("/size", checkSize(o.Size))
	if o.RootFSType != "" && o.RootFSType != "ext4" {
		add("/root_fs_type", fmt.Errorf("a root file system of type %q is not supported yet: use ext4", o.RootFSType))
	}
	problems = append(problems, o.check(o.Filename, o.Size)...)
	return p, problems
}

// checkSize reports why a disk cannot have the given number of bytes.
func checkSize(size int64) error {
	const smallest = rootStart*disk.SectorSize + ext4.MinSize
	switch {
	case size%disk.SectorSize != 0:
		return fmt.Errorf("the size %d is not a multiple of %d, the size of a sector: the next is %d", size, disk.SectorSize, (size/disk.SectorSize+1)*disk.SectorSize)
	case size < smallest:
		return fmt.Errorf("a disk of %d bytes is too small: it must have at least %d", size, int64(smallest))
	case size/disk.SectorSize > mbr.MaxSectors:
		return fmt.Errorf("a disk of %d bytes is out of the reach of a DOS partition table, which is %d", size, int64(mbr.MaxSectors)*disk.SectorSize)
	}
	return nil
}

// runQemu is the assembler.
func runQemu(ctx context.Context, in *module.Input) (err error) {
	var o QemuOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	p, problems := planQemu(o)
	if len(problems) > 0 {
		var errs []error
		for _, pr := range problems {
			errs = append(errs, fmt.Errorf("option %s: %s", pr.Pointer, pr.Message))
		}
		return errors.Join(errs...)
	}
	if in.OutputDir == "" {
		return errors.New("the contract names no \"output_dir\", which an assembler writes to")
	}
	boot, err := findBoot(in)
	if err != nil {
		return err
	}
	use, err := ext4.Measure(ctx, in.Tree)
	if err != nil {
		return err
	}
	// What becomes the result lies in the output directory from the start, so
	// that it only has to be renamed.
	scratch, err := os.MkdirTemp(in.OutputDir, scratchPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	disks := scratch
	if !o.inPlace() {
		if dir := diskDir(use.Bytes(), scratch); dir != scratch {
			if disks, err = os.MkdirTemp(dir, scratchPrefix); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(disks)) }()
		}
	}
	raw := filepath.Join(disks, "disk.raw")
	if err := p.writeDisk(ctx, in, boot, use, raw, scratch); err != nil {
		return err
	}
	c := conversion{in: in, options: o.FormatOptions, raw: raw, size: o.Size, dir: scratch, name: o.Filename, id: p.uuid}
	names, err := c.convert(ctx)
	if err != nil {
		return err
	}
	return writeSums(in.OutputDir, names)
}

// writeDisk makes the disk as a sparse raw file.
func (p *qemuPlan) writeDisk(ctx context.Context, in *module.Input, boot *bootFiles, use ext4.Usage, raw, scratch string) error {
	f, err := os.OpenFile(raw, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(p.options.Size); err != nil {
		return fmt.Errorf("making a sparse file of %d bytes: %w", p.options.Size, err)
	}
	if err := p.table().Write(f, p.sectors()); err != nil {
		return fmt.Errorf("partition table: %w", err)
	}
	if boot != nil {
		img, err := grub.Build(ctx, grub.CoreOptions{BuildRoot: buildRoot(in), UUID: p.uuid, Prefix: "/" + boot.dir, Scratch: scratch})
		if err != nil {
			return fmt.Errorf("boot loader: %w", err)
		}
		if err := grub.Install(f, img, coreStart, rootStart); err != nil {
			return fmt.Errorf("boot loader: %w", err)
		}
		in.Logf("boot loader: GRUB for BIOS, core image of %d bytes, reads /%s/grub.cfg", len(img.Core), boot.dir)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return p.makeRoot(ctx, in, use, raw, scratch)
}

// makeRoot makes the root file system in its partition.
func (p *qemuPlan) makeRoot(ctx context.Context, in *module.Input, use ext4.Usage, raw, scratch string) error {
	const offset = rootStart * disk.SectorSize
	if in.Epoch == 0 {
		in.Logf("warning: no epoch is given, so that times in the image are the builder's")
	}
	attrs, err := attributes(ctx, in)
	if err != nil {
		return err
	}
	warnings, err := ext4.Make(ctx, ext4.Options{
		Tree: in.Tree, Disk: raw, Offset: offset, Size: p.options.Size - offset,
		UUID: p.uuid, Epoch: in.Epoch, Scratch: scratch, Usage: &use, Attributes: attrs,
	})
	for _, w := range warnings {
		in.Logf("warning: %s", w)
	}
	var small *ext4.TooSmallError
	if errors.As(err, &small) {
		const mib = 1 << 20
		want := (small.Needed + offset + small.Needed/10 + mib - 1) / mib * mib
		return fmt.Errorf("root file system: %w; set the option size, which is %d, to %d or more", err, p.options.Size, want)
	}
	if err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	in.Logf("root file system: ext4, %d MiB, UUID %s", (p.options.Size-offset)>>20, p.uuid)
	return nil
}

// buildRoot returns the directory of the build root.
func buildRoot(in *module.Input) string {
	if in.BuildRoot == "" {
		return "/"
	}
	return in.BuildRoot
}

package assemblers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/osbuildkit/osbuildkit/module"
)

// QemuOptions are the options of org.osbuild.qemu.
type QemuOptions struct {
	FormatOptions
	// Filename is the name of the image file in the output directory.
	Filename string `json:"filename" jsonschema:"required,minLength=1,maxLength=255"`
	// PTType is the kind of partition table: dos, which is the default and is
	// also called mbr, or gpt.
	PTType string `json:"pttype,omitempty" jsonschema:"enum=mbr,enum=dos,enum=gpt,default=dos"`
	// PTUUID is the identifier of the disk: 0x and up to eight hexadecimal digits
	// with a DOS partition table, a UUID with a GPT. A DOS partition table takes
	// the first eight digits of a UUID. By default it is derived from the other
	// options.
	PTUUID string `json:"ptuuid,omitempty" jsonschema:"example=0x14fc63d2"`
	// RootFSUUID is the UUID of the root file system, in the short form with
	// one partition. The boot loader finds the file system by it.
	RootFSUUID string `json:"root_fs_uuid,omitempty" jsonschema:"oneof_required=root_fs_uuid,example=76a22bf4-f153-4541-b6c7-0332c0dfaeac"`
	// RootFSType is the type of the root file system in the short form; ext4 by
	// default.
	RootFSType string `json:"root_fs_type,omitempty" jsonschema:"enum=ext4,enum=xfs,enum=btrfs,default=ext4"`
	// Partitions are the partitions of the disk, in the long form.
	Partitions []QemuPartition `json:"partitions,omitempty" jsonschema:"oneof_required=partitions,minItems=1,maxItems=128"`
	// Bootloader is the boot loader that is installed. By default a disk with a
	// DOS partition table gets GRUB for BIOS if the tree has its configuration.
	// A disk with a GPT only gets what the tree has on its EFI partition.
	Bootloader *QemuBootloader `json:"bootloader,omitempty"`
	// Size is the size of the disk in bytes, a multiple of 512; or "content", or
	// "content+2GiB" with any number of KiB, MiB, GiB or TiB, which is an addition
	// to osbuild's: then the file system that takes what is free holds its content
	// and has that much to spare, and the disk is as large as that needs, in whole
	// MiB.
	Size ImageSize `json:"size" jsonschema:"required"`
	// Profile is the oldest generation of systems that must read ext4 and XFS
	// file systems: el7 (kernel 3.10, GRUB 2.02), el8 (4.18, 2.04) or el9 (5.10,
	// 2.06). By default it follows from etc/os-release of the tree. osbuild has
	// no such option.
	Profile string `json:"profile,omitempty" jsonschema:"enum=el7,enum=el8,enum=el9"`
}

// QemuPartition is a partition of a disk.
type QemuPartition struct {
	// Bootable marks the partition as the one that old firmware boots from.
	Bootable bool `json:"bootable,omitempty" jsonschema:"default=false"`
	// Name is the name of the partition in a GPT.
	Name string `json:"name,omitempty" jsonschema:"maxLength=36"`
	// Size is the size of the partition in sectors of 512 bytes. By default it
	// takes the free space behind its start.
	Size int64 `json:"size,omitempty" jsonschema:"minimum=0"`
	// Start is the first sector of the partition. By default it starts at the
	// next whole MiB.
	Start int64 `json:"start,omitempty" jsonschema:"minimum=0"`
	// Type is the type of the partition: a UUID in a GPT, two hexadecimal digits
	// in a DOS partition table, or a word of sfdisk such as linux, swap or uefi.
	// By default it follows from the file system.
	Type string `json:"type,omitempty" jsonschema:"example=C12A7328-F81F-11D2-BA4B-00A0C93EC93B"`
	// UUID is the identifier of the partition in a GPT. By default it is derived
	// from that of the disk.
	UUID string `json:"uuid,omitempty"`
	// Filesystem is the file system of the partition; none by default.
	Filesystem *QemuFilesystem `json:"filesystem,omitempty"`
	// LVM makes the partition a volume group, which can hold several file
	// systems.
	LVM *QemuLVM `json:"lvm,omitempty"`
	// LUKS encrypts the partition.
	LUKS *QemuLUKS `json:"luks,omitempty"`
}

// QemuFilesystem is the file system of a partition.
type QemuFilesystem struct {
	// Type is the type of the file system. osbuild has no swap and no erofs,
	// which is read-only and no larger than its content.
	Type string `json:"type" jsonschema:"required,enum=ext4,enum=xfs,enum=vfat,enum=btrfs,enum=swap,enum=erofs"`
	// UUID is the UUID of the file system; for vfat it is eight hexadecimal digits
	// such as 7B77-95E7. By default it is derived from that of the disk.
	UUID string `json:"uuid,omitempty"`
	// Label is the label of the file system. vfat keeps the first 11 bytes.
	Label string `json:"label,omitempty"`
	// Mountpoint is the directory of the tree that the file system holds. Every
	// one but swap has a directory, and one of them is /.
	Mountpoint string `json:"mountpoint,omitempty" jsonschema:"pattern=^/"`
	// Verity adds a partition with hashes, so that the kernel detects changes of
	// this one, and a file with the root hash beside the image. The system must
	// mount the file system read-only.
	Verity bool `json:"verity,omitempty" jsonschema:"default=false"`
}

// QemuBootloader is the boot loader of a disk.
type QemuBootloader struct {
	// Type is the kind of boot loader. With uki, UEFI firmware starts a unified
	// kernel image: the newest kernel of the tree with its initrd and command
	// line. systemd-boot starts such an image from a menu. osbuild has neither;
	// both go to the EFI system partition. zipl is refused, as it needs a device.
	Type string `json:"type" jsonschema:"required,enum=grub2,enum=uki,enum=systemd-boot,enum=zipl"`
	// Platform is the platform that is booted, or a list of several, by GRUB's
	// names: i386-pc, which is the default, x86_64-efi, arm64-efi,
	// powerpc-ieee1275 and so on. With i386-pc and x86_64-efi the disk boots with
	// both kinds of firmware. With uki and systemd-boot it is x86_64-efi or
	// arm64-efi, by default that of the kernel.
	Platform GrubPlatforms `json:"platform,omitempty"`
	// KernelOpts holds arguments of the kernel for uki and systemd-boot. They
	// follow root= and ro, unless they contain these themselves. For GRUB, set
	// kernel_opts of org.osbuild.grub2.
	KernelOpts string `json:"kernel_opts,omitempty" jsonschema:"example=console=ttyS0 quiet"`
}

// GrubPlatforms is a list of platforms; in JSON one alone is just a string, as
// osbuild has it.
type GrubPlatforms []string

// JSONSchemaText returns the JSON schema of GrubPlatforms.
func (GrubPlatforms) JSONSchemaText() string {
	return `{"oneOf": [{"type": "string"}, {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string"}}], "default": "i386-pc"}`
}

// UnmarshalJSON reads a name or a list of them.
func (p *GrubPlatforms) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*p = make(GrubPlatforms, 1)
		return json.Unmarshal(data, &(*p)[0])
	}
	return json.Unmarshal(data, (*[]string)(p))
}

// checkQemu reports what the schema cannot say about the options.
func checkQemu(options json.RawMessage) []module.Problem {
	var o QemuOptions
	if err := json.Unmarshal(options, &o); err != nil {
		return optionsProblem(err)
	}
	_, problems := planQemu(o)
	return problems
}

func planQemu(o QemuOptions) (*qemuPlan, []module.Problem) {
	p := &qemuPlan{options: o}
	p.problem("/filename", checkFilename(o.Filename))
	p.plan()
	p.problems = append(p.problems, o.check(o.Filename, o.Size.Bytes)...)
	return p, p.problems
}

// runQemu is the assembler.
func runQemu(ctx context.Context, in *module.Input) (err error) {
	var o QemuOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	p, problems := planQemu(o)
	if err := problemsError(problems); err != nil {
		return err
	}
	if in.OutputDir == "" {
		return errors.New("the contract names no \"output_dir\", which an assembler writes to")
	}
	for _, note := range p.notes {
		in.Logf("warning: %s", note)
	}
	if p.options.Size.Follows {
		if p, err = p.followContent(ctx, in); err != nil {
			return err
		}
	}
	if err := p.readSecrets(in); err != nil {
		return err
	}
	loaders, err := p.findLoaders(in)
	if err != nil {
		return err
	}
	if !p.options.Size.Follows {
		if err := loadContents(ctx, in, p.filesystems, p.options.Profile); err != nil {
			return err
		}
	}
	data := p.layerBytes()
	for _, f := range p.filesystems {
		if f.content != nil {
			data += f.content.Usage().Bytes()
		}
	}
	// What becomes the result lies in the output directory from the start, so
	// that it only has to be renamed.
	scratch, err := os.MkdirTemp(in.OutputDir, scratchPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	for _, l := range loaders {
		if err := l.build(ctx, in, p, scratch); err != nil {
			return fmt.Errorf("boot loader: %w", err)
		}
	}
	if err := checkFit(p.filesystems); err != nil {
		return err
	}
	c := conversion{in: in, options: o.FormatOptions, size: p.options.Size.Bytes, data: data, dir: scratch, name: o.Filename, id: p.imageID()}
	names, err := c.make(ctx, func(w io.WriterAt) error { return p.writeDisk(ctx, in, loaders, w, scratch) })
	if err != nil {
		return err
	}
	hashes, err := p.writeRootHashes(in.OutputDir, scratch)
	if err != nil {
		return err
	}
	return writeSums(ctx, in.OutputDir, append(names, hashes...))
}

// writeDisk writes the disk.
func (p *qemuPlan) writeDisk(ctx context.Context, in *module.Input, loaders []bootLoader, w io.WriterAt, scratch string) error {
	for _, l := range loaders {
		if err := l.install(w); err != nil {
			return fmt.Errorf("boot loader: %w", err)
		}
	}
	for i := range p.partitions {
		if err := p.writePartition(ctx, in, &p.partitions[i], w, scratch); err != nil {
			return err
		}
	}
	// The table comes last: hash trees give partitions their identifiers.
	if len(p.hashes) > 0 {
		p.makeTable()
	}
	if err := p.table.Write(w, p.sectors()); err != nil {
		return fmt.Errorf("partition table: %w", err)
	}
	return nil
}

// buildRoot returns the directory of the build root.
func buildRoot(in *module.Input) string {
	if in.BuildRoot == "" {
		return "/"
	}
	return in.BuildRoot
}

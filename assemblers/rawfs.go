package assemblers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/module"
)

// RawFSOptions are the options of org.osbuild.rawfs.
type RawFSOptions struct {
	// Filename is the name of the file in the output directory.
	Filename string `json:"filename" jsonschema:"required,minLength=1,maxLength=255"`
	// RootFSUUID is the UUID of the file system.
	RootFSUUID string `json:"root_fs_uuid" jsonschema:"required,example=76a22bf4-f153-4541-b6c7-0332c0dfaeac"`
	// Size is the size of the file in bytes, a multiple of 512; or "content", or
	// "content+2GiB" with any number of KiB, MiB, GiB or TiB, which is an addition
	// to osbuild's: then the file system holds its content and has that much to
	// spare, in whole MiB.
	Size ImageSize `json:"size" jsonschema:"required"`
	// FSType is the type of the file system; ext4 by default. erofs, which is
	// read-only and no larger than its content, is an addition to osbuild's.
	FSType string `json:"fs_type,omitempty" jsonschema:"enum=ext4,enum=xfs,enum=btrfs,enum=erofs,default=ext4"`
	// Profile is the oldest generation of systems that must read ext4 and XFS
	// file systems: el7 (kernel 3.10, GRUB 2.02), el8 (4.18, 2.04) or el9 (5.10,
	// 2.06). By default it follows from etc/os-release of the tree. An addition
	// to osbuild's options.
	Profile string `json:"profile,omitempty" jsonschema:"enum=el7,enum=el8,enum=el9"`
}

// checkRawFS reports what the schema cannot say about the options.
func checkRawFS(options json.RawMessage) []module.Problem {
	return checkSized(options, func(o *RawFSOptions) []module.Problem {
		_, problems := o.plan()
		return problems
	})
}

// plan returns the file system that the options ask for.
func (o *RawFSOptions) plan() (*filesystem, []module.Problem) {
	var problems []module.Problem
	add := func(pointer string, err error) {
		if err != nil {
			problems = append(problems, module.Problem{Pointer: pointer, Message: err.Error()})
		}
	}
	kind := o.FSType
	if kind == "" {
		kind = "ext4"
	}
	add("/filename", checkFilename(o.Filename))
	uuid, wrong := checkFilesystem(kind, o.RootFSUUID, "", disk.UUID{})
	add("/fs_type", wrong["type"])
	if o.RootFSUUID == "" {
		wrong["uuid"] = fmt.Errorf("the identifier of the file system is missing")
	}
	add("/root_fs_uuid", wrong["uuid"])
	size := o.Size.Bytes
	switch smallest := filesystemKinds[kind].minSize; {
	case o.Size.Follows:
	case size%disk.SectorSize != 0:
		add("/size", sectorsError(size))
	case size < smallest:
		add("/size", fmt.Errorf("a file system of %d bytes is too small: %s needs at least %d", size, kind, smallest))
	case size > maxDisk:
		add("/size", fmt.Errorf("a file system of %d bytes is larger than 64 TiB", size))
	}
	return &filesystem{kind: kind, uuid: uuid, mountpoint: "/", size: size, what: "file system", sizeOption: "size", sizeValue: size, unit: 1}, problems
}

// runRawFS is the assembler.
func runRawFS(ctx context.Context, in *module.Input) error {
	var o RawFSOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	f, problems := o.plan()
	if err := problemsError(problems); err != nil {
		return err
	}
	list := []*filesystem{f}
	if err := loadContents(ctx, in, list, o.Profile); err != nil {
		return err
	}
	if o.Size.Follows {
		f.size = sizeFor(f.kind, f.content.Full(), o.Size.Free)
		f.sizeValue, f.follows = f.size, &o.Size
		if f.size > maxDisk {
			return fmt.Errorf("option /size: a file system of %d bytes is larger than 64 TiB", f.size)
		}
	}
	if err := checkFit(list); err != nil {
		return err
	}
	return writeOutput(ctx, in, o.Filename, func(out *os.File, _ string) error {
		if err := out.Truncate(f.size); err != nil {
			return fmt.Errorf("making a sparse file of %d bytes: %w", f.size, err)
		}
		return f.write(ctx, in, out)
	})
}

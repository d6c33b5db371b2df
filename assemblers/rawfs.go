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
	// Size is the size of the file in bytes, a multiple of 512.
	Size int64 `json:"size" jsonschema:"required,minimum=1"`
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
	return checkWith(options, func(o *RawFSOptions) []module.Problem {
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
	switch smallest := filesystemKinds[kind].minSize; {
	case o.Size%disk.SectorSize != 0:
		add("/size", sectorsError(o.Size))
	case o.Size < smallest:
		add("/size", fmt.Errorf("a file system of %d bytes is too small: %s needs at least %d", o.Size, kind, smallest))
	case o.Size > maxDisk:
		add("/size", fmt.Errorf("a file system of %d bytes is larger than 64 TiB", o.Size))
	}
	return &filesystem{kind: kind, uuid: uuid, mountpoint: "/", size: o.Size, what: "file system", sizeOption: "size", sizeValue: o.Size, unit: 1}, problems
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
	if err := checkFit(list); err != nil {
		return err
	}
	return writeOutput(ctx, in, o.Filename, func(out *os.File, _ string) error {
		if err := out.Truncate(o.Size); err != nil {
			return fmt.Errorf("making a sparse file of %d bytes: %w", o.Size, err)
		}
		return f.write(ctx, in, out)
	})
}

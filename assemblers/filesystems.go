package assemblers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/btrfs"
	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/erofs"
	"github.com/osbuildkit/osbuildkit/disk/ext4"
	"github.com/osbuildkit/osbuildkit/disk/gpt"
	"github.com/osbuildkit/osbuildkit/disk/mbr"
	"github.com/osbuildkit/osbuildkit/disk/swap"
	"github.com/osbuildkit/osbuildkit/disk/vfat"
	"github.com/osbuildkit/osbuildkit/disk/xfs"
	"github.com/osbuildkit/osbuildkit/module"
)

// filesystemKind is a type of file system that images can have.
type filesystemKind struct {
	// minSize is the size in bytes of the smallest.
	minSize int64
	// maxLabel is the length of the longest label in bytes.
	maxLabel int
	// needed returns a lower bound for the size that content needs.
	needed func(use content.Usage, size int64) int64
	// make writes it; swap has no content.
	make func(ctx context.Context, c *content.Tree, to content.Target) ([]string, error)
	// gpt and mbr are the types of partition that it has by default.
	gpt disk.UUID
	mbr byte
}

var filesystemKinds = map[string]filesystemKind{
	"btrfs": {minSize: btrfs.MinSize, maxLabel: btrfs.MaxLabel, needed: btrfs.Needed, make: btrfs.Make, gpt: gpt.TypeLinux, mbr: mbr.TypeLinux},
	"erofs": {minSize: erofs.MinSize, maxLabel: erofs.MaxLabel, needed: erofs.Needed, make: erofs.Make, gpt: gpt.TypeLinux, mbr: mbr.TypeLinux},
	"ext4":  {minSize: ext4.MinSize, maxLabel: ext4.MaxLabel, needed: ext4.Needed, make: ext4.Make, gpt: gpt.TypeLinux, mbr: mbr.TypeLinux},
	"vfat":  {minSize: vfat.MinSize, maxLabel: vfat.MaxLabel, needed: neededData, make: vfat.Make, gpt: gpt.TypeLinux, mbr: 0x0c},
	"xfs":   {minSize: xfs.MinSize, maxLabel: xfs.MaxLabel, needed: xfs.Needed, make: xfs.Make, gpt: gpt.TypeLinux, mbr: mbr.TypeLinux},
	"swap":  {minSize: swap.MinSize, maxLabel: 15, make: swap.Make, gpt: gpt.TypeSwap, mbr: mbr.TypeSwap},
}

func filesystemNames() string {
	return strings.Join(slices.Sorted(maps.Keys(filesystemKinds)), ", ")
}

// neededData counts nothing but the data.
func neededData(use content.Usage, _ int64) int64 { return use.Blocks * content.BlockSize }

// filesystem is one file system of an image.
type filesystem struct {
	kind       string
	uuid       disk.UUID
	label      string
	mountpoint string
	// offset and size are its place in bytes.
	offset, size int64
	// what names it in messages; sizeOption is the option that says how large
	// it is, whose value is sizeValue in units of unit bytes, and before how
	// many bytes of that are not the file system's.
	what, sizeOption string
	sizeValue, unit  int64
	before           int64
	// follows is the option if the size follows from the content, else nil.
	follows *ImageSize
	// layer says what lies between the file system and its partition, in words;
	// nothing if it is empty.
	layer string

	content *content.Tree
	profile content.Profile
}

// id returns the identifier as blkid writes it.
func (f *filesystem) id() string {
	if f.kind == "vfat" {
		return vfat.FormatID(f.uuid)
	}
	return f.uuid.String()
}

// checkFilesystem reads what the options say about a file system. derived gives
// the identifier if they give none.
func checkFilesystem(kind, uuid, label string, derived disk.UUID) (u disk.UUID, problems map[string]error) {
	problems = map[string]error{}
	k, ok := filesystemKinds[kind]
	if !ok {
		problems["type"] = fmt.Errorf("a file system of type %q is not supported: use %s", kind, filesystemNames())
		return u, problems
	}
	var err error
	switch {
	case uuid == "":
		u = derived
	case kind == "vfat":
		u, err = vfat.ParseID(uuid)
	default:
		u, err = disk.ParseUUID(uuid)
	}
	if err != nil {
		problems["uuid"] = err
	}
	switch {
	case kind == "vfat":
		err = vfat.CheckLabel(vfat.CutLabel(label))
	case len(label) > k.maxLabel:
		err = fmt.Errorf("the label %q has %d bytes, and that of %s can have %d", label, len(label), kind, k.maxLabel)
	case strings.ContainsFunc(label, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }):
		err = fmt.Errorf("the label %q holds a control character or invalid UTF-8", label)
	default:
		err = nil
	}
	if err != nil {
		problems["label"] = err
	}
	return u, problems
}

// loadContents reads what goes into each file system, without the data of
// files, and finds the profile, which an option may name.
func loadContents(ctx context.Context, in *module.Input, list []*filesystem, option string) error {
	profile, err := findProfile(in, option)
	if err != nil {
		return err
	}
	attrs, err := ledgerAttributes(in)
	if err != nil {
		return err
	}
	if in.Epoch == 0 {
		in.Logf("warning: no epoch is given, so that times in the image are the builder's")
	}
	var points []string
	for _, f := range list {
		if f.mountpoint != "" {
			points = append(points, f.mountpoint)
		}
	}
	for _, f := range list {
		f.profile = profile
		if f.kind == "swap" {
			continue
		}
		f.content, err = content.Load(ctx, content.Options{
			Tree: in.Tree, Root: f.mountpoint, Epoch: in.Epoch, Attributes: attrs,
			Without: points,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
		for _, w := range f.content.Warnings {
			in.Logf("warning: %s", w)
		}
	}
	return nil
}

// checkFit reports the file systems whose content is known not to fit.
func checkFit(list []*filesystem) error {
	var errs []error
	for _, f := range list {
		if f.content == nil {
			continue
		}
		if need := filesystemKinds[f.kind].needed(f.content.Usage(), f.size); need > f.size {
			errs = append(errs, f.explain(&content.TooSmallError{Needed: need, Available: f.size}))
		}
	}
	return errors.Join(errs...)
}

// explain says which file system an error is about, and which option to change
// where it is too small.
func (f *filesystem) explain(err error) error {
	var small *content.TooSmallError
	if !errors.As(err, &small) {
		return fmt.Errorf("%s: %w", f.what, err)
	}
	if f.follows != nil {
		more := (f.follows.Free + small.Needed - small.Available + small.Needed/10 + mebibyte - 1) / mebibyte
		return fmt.Errorf("%s: %w; give it more to spare: set the option %s to \"content+%dMiB\"", f.what, err, f.sizeOption, more)
	}
	want := (small.Needed + f.before + small.Needed/10 + mebibyte - 1) / mebibyte * mebibyte / f.unit
	return fmt.Errorf("%s: %w; set the option %s, which is %d, to %d or more", f.what, err, f.sizeOption, f.sizeValue, want)
}

// write makes the file system on a disk.
func (f *filesystem) write(ctx context.Context, in *module.Input, w io.WriterAt) error {
	warnings, err := filesystemKinds[f.kind].make(ctx, f.content, content.Target{
		Disk: w, Offset: f.offset, Size: f.size, UUID: f.uuid, Label: f.label, Epoch: in.Epoch, Profile: f.profile,
	})
	for _, w := range warnings {
		in.Logf("warning: %s", w)
	}
	if err != nil {
		return f.explain(err)
	}
	f.content = nil // the next one may need the memory
	in.Logf("%s: %s, %d MiB, UUID %s", f.what, f.kind, f.size>>20, f.id())
	return nil
}

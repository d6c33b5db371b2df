package assemblers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/qcow2"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/disk/vdi"
	"github.com/osbuildkit/osbuildkit/disk/vhdx"
	"github.com/osbuildkit/osbuildkit/disk/vmdk"
	"github.com/osbuildkit/osbuildkit/disk/vpc"
	"github.com/osbuildkit/osbuildkit/module"
)

// FormatOptions are the options that say what a finished disk is stored as.
type FormatOptions struct {
	// Format is the format of the image file; all are the same bytes in each
	// build. raw.xz and raw.zst are the raw disk compressed as a whole, of
	// which zstd is many times faster; gce is the archive with a disk.raw that
	// Google Compute Engine imports.
	Format string `json:"format" jsonschema:"required,enum=raw,enum=raw.xz,enum=raw.zst,enum=qcow2,enum=vdi,enum=vmdk,enum=vpc,enum=vhdx,enum=gce"`
	// Compression is how the data of a qcow2 image is stored; zstd by default,
	// which needs QEMU 5.1 or later. zlib is understood everywhere, and is the
	// default with a qcow2_compat of 0.10.
	Compression string `json:"compression,omitempty" jsonschema:"enum=none,enum=zlib,enum=zstd"`
	// QCOW2Compat is the version of a qcow2 image, as the QEMU that brought it:
	// 0.10 for version 2, 1.1 for version 3.
	QCOW2Compat string `json:"qcow2_compat,omitempty" jsonschema:"enum=0.10,enum=1.1,default=1.1"`
	// VMDKSubformat is how a vmdk image is put into files. The flat and the
	// split ones are several, whose names start as that of the image.
	VMDKSubformat string `json:"vmdk_subformat,omitempty" jsonschema:"enum=monolithicSparse,enum=monolithicFlat,enum=twoGbMaxExtentSparse,enum=twoGbMaxExtentFlat,enum=streamOptimized,default=monolithicSparse"`
	// VPCSubformat is fixed, which Azure needs, or dynamic, which leaves out
	// what is zero.
	VPCSubformat string `json:"vpc_subformat,omitempty" jsonschema:"enum=fixed,enum=dynamic,default=fixed"`
}

// conversion is the work of storing one disk.
type conversion struct {
	in      *module.Input
	options FormatOptions
	// raw is the file with the disk, and size its length.
	raw  string
	size int64
	// dir is where the files are written to, and name the name of the first.
	dir, name string
	// id is what identifiers in the image are derived from.
	id disk.UUID
	// ahead compresses the disk while it is being made; nil where nothing is
	// compressed.
	ahead *sparse.Ahead
}

// aheadMemory bounds what is compressed ahead, in bytes.
const aheadMemory = 128 << 20

// start begins to compress the disk, which is about to be made. Stop ends it.
func (c *conversion) start(ctx context.Context) error {
	if c.options.Format != "qcow2" {
		return nil
	}
	var err error
	c.ahead, err = qcow2.StartAhead(ctx, c.raw, c.qcow2(), aheadMemory)
	return err
}

// stop waits until nothing looks at the disk any more.
func (c *conversion) stop() {
	if c.ahead != nil {
		c.ahead.Stop()
	}
}

// qcow2 is how a qcow2 image is written.
func (c *conversion) qcow2() qcow2.Options {
	o := qcow2.Options{Compression: qcow2.Compression(c.options.Compression), Ahead: c.ahead}
	if c.options.QCOW2Compat == "0.10" {
		o.Version = 2
	}
	return o
}

// diskFormat is a way to store a disk.
type diskFormat struct {
	// most is the largest size in bytes; 0 is no limit.
	most int64
	// write makes the files in the conversion's directory and returns their
	// names.
	write func(ctx context.Context, c *conversion) ([]string, error)
	// inPlace says that write uses the raw file itself, so that it should lie
	// where the result goes.
	inPlace bool
}

var diskFormats = map[string]diskFormat{
	"raw":     {write: writeRaw, inPlace: true},
	"raw.xz":  {write: writeCompressed("xz")},
	"raw.zst": {write: writeCompressed("zstd")},
	"qcow2":   {write: writeQcow2},
	"vdi":     {write: writeVDI, most: vdi.MaxSize},
	"vmdk":    {write: writeVMDK, most: vmdk.MaxSize},
	"vpc":     {write: writeVPC, most: vpc.MaxSize, inPlace: true},
	"vhdx":    {write: writeVHDX, most: vhdx.MaxSize},
	"gce":     {write: writeGCE},
}

// formatNames are the names of diskFormats, in the order in which they are
// shown.
var formatNames = []string{"raw", "raw.xz", "raw.zst", "qcow2", "vdi", "vmdk", "vpc", "vhdx", "gce"}

// inPlace tells whether the raw file becomes the result.
func (o *FormatOptions) inPlace() bool {
	return diskFormats[o.Format].inPlace && o.VPCSubformat != "dynamic"
}

// check reports what cannot be, as far as the format is concerned.
func (o *FormatOptions) check(filename string, size int64) []module.Problem {
	var problems []module.Problem
	add := func(pointer, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	f, ok := diskFormats[o.Format]
	if !ok {
		last := len(formatNames) - 1
		add("/format", "the format %q is not supported: use %s or %s", o.Format, strings.Join(formatNames[:last], ", "), formatNames[last])
	}
	if f.most > 0 && size > f.most {
		add("/size", "a %s image holds a disk of up to %d bytes, not %d", o.Format, f.most, size)
	}
	oneOf := func(pointer, value string, values ...string) {
		for _, v := range append(values, "") {
			if v == value {
				return
			}
		}
		last := len(values) - 1
		add(pointer, "%q is not supported: use %s or %s", value, strings.Join(values[:last], ", "), values[last])
	}
	oneOf("/compression", o.Compression, "none", "zlib", "zstd")
	oneOf("/qcow2_compat", o.QCOW2Compat, "0.10", "1.1")
	oneOf("/vmdk_subformat", o.VMDKSubformat, "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized")
	oneOf("/vpc_subformat", o.VPCSubformat, "fixed", "dynamic")
	if o.Compression != "" && o.Format != "qcow2" && ok {
		add("/compression", "compression applies to the format qcow2 only, and the format is %s: leave it out", o.Format)
	}
	if o.Compression == "zstd" && o.QCOW2Compat == "0.10" {
		add("/compression", "zstd needs a qcow2_compat of 1.1: use zlib")
	}
	if o.Format == "vmdk" && strings.ContainsAny(filename, "\"") {
		add("/filename", "%q holds a quotation mark, and a vmdk image names its file between two of them", filename)
	}
	return problems
}

// unused names options that have no effect: osbuild takes them in silence.
func (o *FormatOptions) unused() []string {
	var out []string
	for _, u := range []struct{ value, name, format string }{
		{o.QCOW2Compat, "qcow2_compat", "qcow2"}, {o.VMDKSubformat, "vmdk_subformat", "vmdk"}, {o.VPCSubformat, "vpc_subformat", "vpc"},
	} {
		if u.value != "" && o.Format != u.format {
			out = append(out, u.name)
		}
	}
	return out
}

// convert stores a disk in the format that was asked for, and returns the names
// of the files that it has put into the output directory. A file gets its name
// there when all of them are complete.
func (c *conversion) convert(ctx context.Context) ([]string, error) {
	for _, name := range c.options.unused() {
		c.in.Logf("warning: the option %s has no effect on the format %s", name, c.options.Format)
	}
	names, err := diskFormats[c.options.Format].write(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("writing the %s image: %w", c.options.Format, err)
	}
	for _, name := range names {
		if err := os.Chmod(filepath.Join(c.dir, name), 0o644); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(c.dir, name), filepath.Join(c.in.OutputDir, name)); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// open opens the disk and the file that it is stored in.
func (c *conversion) open(write func(dst *os.File, src sparse.Source) error) ([]string, error) {
	src, err := os.Open(c.raw)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	dst, err := os.OpenFile(filepath.Join(c.dir, c.name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return []string{c.name}, errors.Join(write(dst, sparse.File{File: src}), dst.Close())
}

func writeRaw(_ context.Context, c *conversion) ([]string, error) {
	return []string{c.name}, os.Rename(c.raw, filepath.Join(c.dir, c.name))
}

func writeQcow2(ctx context.Context, c *conversion) ([]string, error) {
	return c.open(func(dst *os.File, src sparse.Source) error {
		stats, err := qcow2.Write(ctx, dst, src, c.size, c.qcow2())
		if err == nil {
			c.in.Logf("%s: qcow2, %d bytes, %d clusters with data, %d of them compressed", c.name, stats.Size, stats.Clusters, stats.Compressed)
		}
		return err
	})
}

func writeVDI(ctx context.Context, c *conversion) ([]string, error) {
	return c.open(func(dst *os.File, src sparse.Source) error {
		return vdi.Write(ctx, dst, src, c.size, vdi.Options{ID: c.id.Derive("vdi image"), Snapshot: c.id.Derive("vdi snapshot")})
	})
}

func writeVHDX(ctx context.Context, c *conversion) ([]string, error) {
	return c.open(func(dst *os.File, src sparse.Source) error {
		return vhdx.Write(ctx, dst, src, c.size, vhdx.Options{ID: c.id.Derive("vhdx disk")})
	})
}

func writeVMDK(ctx context.Context, c *conversion) ([]string, error) {
	src, err := os.Open(c.raw)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	id := c.id.Derive("vmdk content")
	return vmdk.Write(ctx, c.dir, c.name, sparse.File{File: src}, c.size, vmdk.Options{
		Form: vmdk.Form(c.options.VMDKSubformat), ContentID: binary.BigEndian.Uint32(id[:]),
	})
}

// writeVPC appends the footer to the disk for a fixed image.
func writeVPC(ctx context.Context, c *conversion) ([]string, error) {
	o := vpc.Options{Dynamic: c.options.VPCSubformat == "dynamic", ID: c.id.Derive("vpc image"), Time: c.in.Epoch}
	if o.Dynamic {
		return c.open(func(dst *os.File, src sparse.Source) error { return vpc.Write(ctx, dst, src, c.size, o) })
	}
	f, err := os.OpenFile(c.raw, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(vpc.Footer(c.size, o), c.size)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return writeRaw(ctx, c)
}

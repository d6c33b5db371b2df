package assemblers

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
	// Compression is the compression of a qcow2 image. It is zstd by default,
	// which needs QEMU 5.1 or later, and zlib with a qcow2_compat of 0.10.
	Compression string `json:"compression,omitempty" jsonschema:"enum=none,enum=zlib,enum=zstd"`
	// QCOW2Compat is the version of a qcow2 image, as the QEMU that brought it:
	// 0.10 for version 2, 1.1 for version 3.
	QCOW2Compat string `json:"qcow2_compat,omitempty" jsonschema:"enum=0.10,enum=1.1,default=1.1"`
	// VMDKSubformat is the layout of a vmdk image. The flat and the split ones are
	// several files, whose names start as that of the image.
	VMDKSubformat string `json:"vmdk_subformat,omitempty" jsonschema:"enum=monolithicSparse,enum=monolithicFlat,enum=twoGbMaxExtentSparse,enum=twoGbMaxExtentFlat,enum=streamOptimized,default=monolithicSparse"`
	// VPCSubformat is the layout of a vpc image: fixed, which Azure needs, or
	// dynamic, which leaves out zeros.
	VPCSubformat string `json:"vpc_subformat,omitempty" jsonschema:"enum=fixed,enum=dynamic,default=fixed"`
}

// conversion is the work of storing one disk.
type conversion struct {
	in      *module.Input
	options FormatOptions
	// size is the length of the disk, and data how much of it holds something,
	// roughly.
	size, data int64
	// raw is the file with the disk, for the formats that are made of one.
	raw string
	// dir is where the files are written to, and name the name of the first.
	dir, name string
	// id is what identifiers in the image are derived from.
	id disk.UUID
}

// qcow2 is how a qcow2 image is written.
func (c *conversion) qcow2() qcow2.Options {
	o := qcow2.Options{Compression: qcow2.Compression(c.options.Compression)}
	if c.options.QCOW2Compat == "0.10" {
		o.Version = 2
	}
	return o
}

// fill writes a disk, which reads as zeros before.
type fill func(w io.WriterAt) error

// diskFormat is a way to store a disk.
type diskFormat struct {
	// most is the largest size in bytes; 0 is no limit.
	most int64
	// write makes the files in the conversion's directory of the raw disk and
	// returns their names.
	write func(ctx context.Context, c *conversion) ([]string, error)
	// direct takes the place of write where no raw disk is needed.
	direct func(ctx context.Context, c *conversion, f fill) ([]string, error)
	// inPlace says that write uses the raw file itself, so that it should lie
	// where the result goes.
	inPlace bool
}

var diskFormats = map[string]diskFormat{
	"raw":     {write: writeRaw, inPlace: true},
	"raw.xz":  {write: writeCompressed("xz")},
	"raw.zst": {write: writeCompressed("zstd")},
	"qcow2":   {direct: writeQcow2},
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
	return diskFormats[o.Format].inPlace && !(o.Format == "vpc" && o.VPCSubformat == "dynamic")
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
	if o.Format == "qcow2" && o.Compression == "zstd" && o.QCOW2Compat == "0.10" {
		add("/compression", "zstd needs a qcow2_compat of 1.1: use zlib")
	}
	if o.Format == "vmdk" && strings.ContainsAny(filename, "\"") {
		add("/filename", "%q holds a quotation mark, and a vmdk image names its file between two of them", filename)
	}
	return problems
}

// unused names options that have no effect, as they are for another format:
// osbuild takes them in silence.
func (o *FormatOptions) unused() []string {
	var out []string
	for _, u := range []struct{ value, name, format string }{
		{o.Compression, "compression", "qcow2"}, {o.QCOW2Compat, "qcow2_compat", "qcow2"}, {o.VMDKSubformat, "vmdk_subformat", "vmdk"}, {o.VPCSubformat, "vpc_subformat", "vpc"},
	} {
		if u.value != "" && o.Format != u.format {
			out = append(out, u.name)
		}
	}
	return out
}

// make stores the disk that f writes in the format that was asked for, and
// returns the names of the files that it has put into the output directory. A
// file gets its name there when all of them are complete.
func (c *conversion) make(ctx context.Context, f fill) ([]string, error) {
	for _, name := range c.options.unused() {
		c.in.Logf("warning: the option %s has no effect on the format %s", name, c.options.Format)
	}
	var names []string
	var err error
	if format := diskFormats[c.options.Format]; format.direct != nil {
		names, err = format.direct(ctx, c, f)
	} else {
		var done func()
		if done, err = c.makeRaw(f); err != nil {
			return nil, err
		}
		defer done()
		names, err = format.write(ctx, c)
	}
	if err != nil {
		return nil, err
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

// makeRaw makes the disk as a sparse file, which done removes.
func (c *conversion) makeRaw(f fill) (done func(), err error) {
	dir := c.dir
	done = func() {}
	if !c.options.inPlace() {
		if d := diskDir(c.data, c.dir); d != c.dir {
			if dir, err = os.MkdirTemp(d, scratchPrefix); err != nil {
				return nil, err
			}
			done = func() { _ = os.RemoveAll(dir) }
		}
	}
	c.raw = filepath.Join(dir, scratchPrefix+"disk") // no file of the result has that name
	w, err := os.OpenFile(c.raw, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		if err = w.Truncate(c.size); err != nil {
			err = fmt.Errorf("making a sparse file of %d bytes: %w", c.size, err)
		} else {
			err = f(w)
		}
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// create makes the file of the image.
func (c *conversion) create(write func(dst *os.File) error) ([]string, error) {
	dst, err := os.OpenFile(filepath.Join(c.dir, c.name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return []string{c.name}, errors.Join(write(dst), dst.Close())
}

// open opens the disk and makes the file that it is stored in.
func (c *conversion) open(write func(dst *os.File, src sparse.Source) error) ([]string, error) {
	src, err := os.Open(c.raw)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return c.create(func(dst *os.File) error {
		if err := write(dst, sparse.File{File: src}); err != nil {
			return fmt.Errorf("writing the %s image: %w", c.options.Format, err)
		}
		return nil
	})
}

func writeRaw(_ context.Context, c *conversion) ([]string, error) {
	return []string{c.name}, os.Rename(c.raw, filepath.Join(c.dir, c.name))
}

// writeQcow2 compresses the disk while it is written.
func writeQcow2(ctx context.Context, c *conversion, f fill) ([]string, error) {
	return c.create(func(dst *os.File) error {
		w, err := qcow2.NewWriter(ctx, dst, c.size, c.qcow2(), c.dir)
		if err != nil {
			return err
		}
		if err := f(w); err != nil {
			w.Stop()
			return err
		}
		stats, err := w.Finish()
		if err != nil {
			return fmt.Errorf("writing the qcow2 image: %w", err)
		}
		c.in.Logf("%s: qcow2, %d bytes, %d clusters with data, %d of them compressed", c.name, stats.Size, stats.Clusters, stats.Compressed)
		return nil
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

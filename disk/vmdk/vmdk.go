package vmdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Form is one of the ways to put a disk into files.
type Form string

// The forms, as VMware and QEMU name them.
const (
	MonolithicSparse     Form = "monolithicSparse"
	MonolithicFlat       Form = "monolithicFlat"
	TwoGBMaxExtentSparse Form = "twoGbMaxExtentSparse"
	TwoGBMaxExtentFlat   Form = "twoGbMaxExtentFlat"
	StreamOptimized      Form = "streamOptimized"
)

// Options says how an image is written.
type Options struct {
	// Form is one of the forms; empty means MonolithicSparse.
	Form Form
	// ContentID tells versions of a disk apart. Two values are reserved, and
	// neighbours are taken for them.
	ContentID uint32
}

// MaxSize is the size in bytes of the largest disk that one sparse file takes
// in VMware's products.
const MaxSize = 2 << 40

// extentSize is the most that one of several files has of the disk.
const extentSize = 2 << 30

// Write writes the first size bytes of src as an image to the file name in the
// directory dir. It returns the names of all files that it has made, name first:
// flat and split forms have more. size must be a positive multiple of 512.
// After an error there may be files that are not whole.
func Write(ctx context.Context, dir, name string, src sparse.Source, size int64, o Options) ([]string, error) {
	if o.Form == "" {
		o.Form = MonolithicSparse
	}
	if size <= 0 || size%disk.SectorSize != 0 || size > MaxSize {
		return nil, fmt.Errorf("a vmdk disk of %d bytes is not possible: the size must be a multiple of %d of up to 2 TiB", size, disk.SectorSize)
	}
	d := &description{form: o.Form, contentID: o.ContentID, size: size}
	switch o.Form {
	case MonolithicSparse, StreamOptimized:
		d.extents = []extent{{name: name, kind: "SPARSE", size: size}}
		write := writeSparse
		if o.Form == StreamOptimized {
			write = writeStream
		}
		err := create(dir, name, func(f *os.File) error { return write(ctx, f, src, size, d.text()) })
		return []string{name}, err
	case MonolithicFlat:
		d.extents = []extent{{name: extentName(name, "-flat"), kind: "FLAT", size: size}}
	case TwoGBMaxExtentSparse:
		d.split(name, "-s%03d", "SPARSE")
	case TwoGBMaxExtentFlat:
		d.split(name, "-f%03d", "FLAT")
	default:
		return nil, fmt.Errorf("the form %q of vmdk is not known", o.Form)
	}
	names := []string{name}
	at := int64(0)
	for _, e := range d.extents {
		part := section{Source: src, start: at, size: e.size}
		err := create(dir, e.name, func(f *os.File) error {
			if e.kind == "FLAT" {
				return writeFlat(ctx, f, part, e.size)
			}
			return writeSparse(ctx, f, part, e.size, "")
		})
		if err != nil {
			return nil, err
		}
		names = append(names, e.name)
		at += e.size
	}
	return names, create(dir, name, func(f *os.File) error {
		_, err := f.WriteString(d.text())
		return err
	})
}

// create makes a new file and lets write fill it.
func create(dir, name string, write func(f *os.File) error) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func extentName(name, suffix string) string {
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + suffix + ext
}

// extent is one file with a part of the disk.
type extent struct {
	name, kind string
	size       int64
}

// description is the text that says what an image is made of.
type description struct {
	form      Form
	contentID uint32
	size      int64
	extents   []extent
}

// split makes extents of all of the disk.
func (d *description) split(name, suffix, kind string) {
	for at := int64(0); at < d.size; at += extentSize {
		e := extent{extentName(name, fmt.Sprintf(suffix, len(d.extents)+1)), kind, min(extentSize, d.size-at)}
		d.extents = append(d.extents, e)
	}
}

func (d *description) text() string {
	const reserved = 0xfffffffe // and the one above, which means no parent
	id := min(d.contentID, reserved-1)
	var b strings.Builder
	fmt.Fprintf(&b, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=ffffffff\ncreateType=%q\n\n# Extent description\n", id, string(d.form))
	for _, e := range d.extents {
		fmt.Fprintf(&b, "RW %d %s \"%s\"", e.size/disk.SectorSize, e.kind, e.name)
		if e.kind == "FLAT" {
			b.WriteString(" 0")
		}
		b.WriteString("\n")
	}
	const heads, sectors = 16, 63
	cylinders := min(d.size/(heads*sectors*disk.SectorSize), 1<<31)
	fmt.Fprintf(&b, "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"%d\"\nddb.geometry.heads = \"%d\"\n"+
		"ddb.geometry.sectors = \"%d\"\nddb.adapterType = \"ide\"\n", cylinders, heads, sectors)
	return b.String()
}

// section is a part of a disk.
type section struct {
	sparse.Source
	start, size int64
}

// ReadAt reads from the part.
func (s section) ReadAt(p []byte, off int64) (int, error) { return s.Source.ReadAt(p, s.start+off) }

// Next finds data; what it gives may reach behind the part.
func (s section) Next(off int64) (start, end int64, err error) {
	start, end, err = s.Source.Next(s.start + off)
	return start - s.start, end - s.start, err
}

// writeFlat writes data as it is.
func writeFlat(ctx context.Context, f *os.File, src sparse.Source, size int64) error {
	err := sparse.Blocks(ctx, src, size, sparse.Work{Block: 1 << 20}, func(index int64, raw, _ []byte) error {
		at := index << 20
		_, err := f.WriteAt(raw[:min(int64(len(raw)), size-at)], at)
		return err
	})
	if err != nil {
		return err
	}
	return f.Truncate(size)
}

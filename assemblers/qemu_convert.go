package assemblers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/osbuildkit/osbuildkit/disk/qcow2"
	"github.com/osbuildkit/osbuildkit/disk/qemuimg"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/module"
)

// convert turns the raw disk into the file that was asked for. The file gets
// its name when it is complete.
func (p *qemuPlan) convert(ctx context.Context, in *module.Input, raw, scratch string) error {
	image := filepath.Join(scratch, "image")
	var err error
	switch format := p.options.Format; format {
	case "raw":
		image = raw
	case "qcow2":
		err = p.writeQcow2(ctx, in, raw, image)
	default:
		in.Logf("warning: a %s image holds identifiers and times that differ between builds; use raw or qcow2 where they must not", format)
		err = qemuimg.Convert(ctx, raw, image, format)
	}
	if err != nil {
		return fmt.Errorf("writing the %s image: %w", p.options.Format, err)
	}
	if err := os.Chmod(image, 0o644); err != nil {
		return err
	}
	return os.Rename(image, filepath.Join(in.OutputDir, p.options.Filename))
}

// writeQcow2 writes the image with our own writer.
func (p *qemuPlan) writeQcow2(ctx context.Context, in *module.Input, raw, image string) error {
	src, err := os.Open(raw)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	stats, err := qcow2.Write(ctx, dst, sparse.File{File: src}, p.options.Size, qcow2.Options{
		Compression: qcow2.Compression(p.options.Compression),
	})
	if err = errors.Join(err, dst.Close()); err != nil {
		return err
	}
	in.Logf("%s: qcow2, %d bytes, %d clusters with data, %d of them compressed", p.options.Filename, stats.Size, stats.Clusters, stats.Compressed)
	return nil
}

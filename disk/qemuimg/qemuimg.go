// Package qemuimg writes the image formats that only qemu-img knows how to
// write. Their files hold random identifiers or times, so they differ between
// builds, unlike those of disk/qcow2.
package qemuimg

import (
	"context"
	"fmt"

	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

// formats maps a format to the further arguments of qemu-img convert.
var formats = map[string][]string{
	"vdi":  nil,
	"vmdk": nil,
}

// Convert writes the raw disk in the file raw to the file image in the given
// format, vdi or vmdk.
func Convert(ctx context.Context, raw, image, format string) error {
	args, ok := formats[format]
	if !ok {
		return fmt.Errorf("the format %q is not known", format)
	}
	program, err := tool.Find("qemu-utils", "qemu-img")
	if err != nil {
		return err
	}
	args = append([]string{"convert", "-f", "raw", "-O", format}, append(args, raw, image)...)
	_, err = tool.Run(ctx, nil, program, args...)
	return err
}

// Raw writes the disk in the file image, which is in the given format of qemu's,
// to the file raw, with holes.
func Raw(ctx context.Context, image, format, raw string) error {
	program, err := tool.Find("qemu-utils", "qemu-img")
	if err != nil {
		return err
	}
	_, err = tool.Run(ctx, nil, program, "convert", "-f", format, "-O", "raw", image, raw)
	return err
}

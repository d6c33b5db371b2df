// Package qemuimg reads the image formats that only qemu-img knows how to read.
package qemuimg

import (
	"context"
	"errors"
	"os/exec"

	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

// Raw writes the disk in the file image, which is in the given format of qemu's,
// to the file raw, with holes.
func Raw(ctx context.Context, image, format, raw string) error {
	program, err := exec.LookPath("qemu-img")
	if err != nil {
		return errors.New("qemu-img is not installed: apt-get install qemu-utils (Debian), dnf install qemu-img (Fedora)")
	}
	_, err = tool.Run(ctx, nil, program, "convert", "-f", format, "-O", "raw", image, raw)
	return err
}

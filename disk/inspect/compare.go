package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/image"
)

// Compare says in what the disks of two images are not the same, in words: the
// first file that differs, where a file system can be read, else the partition
// and the byte. It returns the empty string if the disks are the same.
func Compare(ctx context.Context, a, b *image.Image) (string, error) {
	if a.Size != b.Size {
		return fmt.Sprintf("the disks have %d and %d bytes", a.Size, b.Size), nil
	}
	at, err := fsread.FirstDifference(ctx, a, b, a.Size)
	if at < 0 || err != nil {
		return "", err
	}
	da, err := Open(a.Budget, a, a.Size)
	if err != nil {
		return fmt.Sprintf("the disks differ from byte %d on (%v)", at, err), nil
	}
	db, err := Open(b.Budget, b, b.Size)
	if err != nil || len(da.Volumes) != len(db.Volumes) {
		return fmt.Sprintf("the partition tables differ; the first byte is at %d", at), nil
	}
	for i, va := range da.Volumes {
		what, err := compareVolumes(ctx, va, db.Volumes[i])
		if what != "" || err != nil {
			return what, err
		}
	}
	return da.place(at), nil
}

// compareVolumes looks at the files of a partition.
func compareVolumes(ctx context.Context, a, b *Volume) (string, error) {
	name := fmt.Sprintf("partition %d", a.Partition.Number)
	if a.Partition != b.Partition {
		return fmt.Sprintf("%s: its entry in the partition table differs", name), nil
	}
	if a.Info.Type != b.Info.Type || a.Info.UUID != b.Info.UUID || a.Info.Label != b.Info.Label {
		return fmt.Sprintf("%s: type, UUID or label of the file system differ: %s %s %q and %s %s %q",
			name, a.Info.Type, a.Info.UUID, a.Info.Label, b.Info.Type, b.Info.UUID, b.Info.Label), nil
	}
	if a.FS == nil || b.FS == nil {
		return "", nil
	}
	d, err := fsread.Diff(ctx, a.FS, b.FS, fsread.DiffOptions{})
	if err != nil {
		if errors.Is(err, fsread.ErrUnsupported) {
			err = nil // the byte is named instead
		}
		return "", err
	}
	if d == nil {
		return "", nil
	}
	file := d.Path
	if a.Mountpoint != "" {
		file = path.Join(a.Mountpoint, d.Path)
	}
	return fmt.Sprintf("%s, the file %q: %s", name, file, d.What), nil
}

// place says what a byte of the disk belongs to.
func (d *Disk) place(at int64) string {
	for _, v := range d.Volumes {
		p := v.Partition
		if at < p.Start || at >= p.Start+p.Size {
			continue
		}
		what := "its content"
		if v.FS != nil {
			what = "no file differs, but what the file system says about itself"
		} else if v.Info.Type != "" {
			what = "something in the " + v.Info.Type
		}
		return fmt.Sprintf("partition %d: %s, from byte %d of the partition on", p.Number, what, at-p.Start)
	}
	return fmt.Sprintf("what is outside of the partitions, boot code or partition table, from byte %d of the disk on", at)
}

// CompareReaders returns the offset of the first byte in which two streams
// differ, or -1.
func CompareReaders(a, b io.Reader) (int64, error) {
	ba, bb := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; {
		na, ea := io.ReadFull(a, ba)
		nb, eb := io.ReadFull(b, bb)
		for i := range min(na, nb) {
			if ba[i] != bb[i] {
				return at + int64(i), nil
			}
		}
		if na != nb {
			return at + int64(min(na, nb)), nil
		}
		for _, err := range []error{ea, eb} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, err
			}
		}
		if ea != nil {
			return -1, nil
		}
		at += int64(na)
	}
}

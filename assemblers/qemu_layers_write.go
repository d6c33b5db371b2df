package assemblers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/luks"
	"github.com/osbuildkit/osbuildkit/disk/lvm"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/disk/used"
	"github.com/osbuildkit/osbuildkit/disk/verity"
	"github.com/osbuildkit/osbuildkit/module"
)

// readSecrets gets the passphrases.
func (p *qemuPlan) readSecrets(in *module.Input) error {
	var errs []error
	for i := range p.partitions {
		l := p.partitions[i].luks
		if l == nil {
			continue
		}
		var err error
		if l.options.Passphrase, err = in.ReadSecret(l.secret); err == nil {
			err = luks.CheckPassphrase(l.options.Passphrase)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: the secret %s: %w", l.what, l.secret, err))
		}
	}
	return errors.Join(errs...)
}

// layerBytes is about how much data the layers add to the disk.
func (p *qemuPlan) layerBytes() int64 {
	n := int64(0)
	for _, h := range p.hashes {
		n += int64(h.sectors) * disk.SectorSize
	}
	for _, q := range p.partitions {
		switch {
		case q.luks == nil:
		case q.luks.whole:
			n += q.luks.size
		default:
			// Journals, and other parts that are zero and in use.
			n += luks.HeaderSize + min(q.luks.size/8, 1<<30)
		}
	}
	return n
}

// filesystems lists what a partition holds.
func (q *partition) filesystems() []*filesystem {
	if q.lvm != nil {
		return slices.DeleteFunc(slices.Clone(q.lvm.filesystems), func(f *filesystem) bool { return f == nil })
	}
	if q.fs != nil {
		return []*filesystem{q.fs}
	}
	return nil
}

// writePartition writes what a partition holds. What is to be hashed or
// encrypted is made in a scratch file first: all of it has to be there.
func (p *qemuPlan) writePartition(ctx context.Context, in *module.Input, q *partition, w io.WriterAt, scratch string) error {
	if q.luks == nil && !q.verity {
		return q.writeContent(ctx, in, w)
	}
	base, size := int64(q.start)*disk.SectorSize, int64(q.sectors)*disk.SectorSize
	if q.luks != nil {
		base, size = base+luks.HeaderSize, size-luks.HeaderSize
	}
	f, err := p.scratchFile(q, size, scratch)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := q.writeContent(ctx, in, shifted{f, base}); err != nil {
		return err
	}
	if q.luks != nil {
		if err := q.luks.write(ctx, in, w, f, base, size); err != nil {
			return fmt.Errorf("encrypting %s: %w", q.luks.what, err)
		}
		return nil
	}
	if err := p.writeHashes(ctx, in, q, w, f, size); err != nil {
		return fmt.Errorf("the hash tree of %s: %w", q.fs.what, err)
	}
	const block = 1 << 20
	return sparse.Blocks(ctx, sparse.File{File: f}, size, sparse.Work{Block: block}, func(index int64, raw, _ []byte) error {
		_, err := w.WriteAt(raw[:min(block, size-index*block)], base+index*block)
		return err
	})
}

// scratchFile makes a file, in memory if there is enough, whose name is gone.
func (p *qemuPlan) scratchFile(q *partition, size int64, scratch string) (*os.File, error) {
	data := int64(0)
	for _, f := range q.filesystems() {
		if f.content != nil {
			data += f.content.Usage().Bytes()
		}
	}
	f, err := os.CreateTemp(diskDir(2*data, scratch), scratchPrefix)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(f.Name()), f.Truncate(size)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// shifted is a part of a disk that starts at base: what is written there lies at
// the beginning of w.
type shifted struct {
	w    io.WriterAt
	base int64
}

// WriteAt writes to the part.
func (s shifted) WriteAt(b []byte, at int64) (int, error) { return s.w.WriteAt(b, at-s.base) }

// writeContent writes the file systems, and the volume group that they are in.
func (q *partition) writeContent(ctx context.Context, in *module.Input, w io.WriterAt) error {
	if l := q.lvm; l != nil {
		l.group.Time = in.Epoch
		if err := l.group.Write(shifted{w, -l.offset}); err != nil {
			return fmt.Errorf("volume group %s: %w", l.group.Name, err)
		}
		used := (l.group.Offset(len(l.group.Volumes)) - lvm.DataStart) / lvm.ExtentSize
		in.Logf("volume group %s: %d volumes, %d of %d extents", l.group.Name, len(l.group.Volumes), used, lvm.Extents(l.group.Size))
	}
	for _, f := range q.filesystems() {
		if err := f.write(ctx, in, w); err != nil {
			return err
		}
	}
	return nil
}

// writeHashes makes the hash tree of a partition, whose content is in a file.
// Identifiers that follow from the root hash are known then.
func (p *qemuPlan) writeHashes(ctx context.Context, in *module.Input, q *partition, w io.WriterAt, f *os.File, size int64) (err error) {
	for i, h := range p.hashes {
		if h.fs != q.fs {
			continue
		}
		h.root, err = verity.Write(ctx, io.NewOffsetWriter(w, int64(h.start)*disk.SectorSize), sparse.File{File: f}, size, verity.Options{ID: h.fs.uuid})
		if err != nil {
			return err
		}
		if h.byHash {
			q.id, p.partitions[len(p.options.Partitions)+i].id = h.root.PartitionUUIDs()
		}
		in.Logf("%s: verity, hash tree in partition %d, root hash %s", h.fs.what, len(p.options.Partitions)+i+1, h.root)
	}
	return nil
}

// fileName is the name of the file with the root hash of a file system: as
// systemd looks for it beside an image, but for file systems that it does not
// know.
func (h *hashPartition) fileName(image string) string {
	switch h.fs.mountpoint {
	case "/":
		return image + ".roothash"
	case "/usr":
		return image + ".usrhash"
	}
	return fmt.Sprintf("%s.%d.roothash", image, h.index+1)
}

// writeRootHashes writes the files with the root hashes and returns their names.
func (p *qemuPlan) writeRootHashes(dir, scratch string) ([]string, error) {
	var names []string
	for _, h := range p.hashes {
		name := h.fileName(p.options.Filename)
		if err := os.WriteFile(filepath.Join(scratch, name), []byte(h.root.String()+"\n"), 0o644); err != nil {
			return nil, err
		}
		if err := os.Rename(filepath.Join(scratch, name), filepath.Join(dir, name)); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// write encrypts the content of a file into a partition, whose data has size
// bytes from base on.
func (l *luksLayer) write(ctx context.Context, in *module.Input, w io.WriterAt, f *os.File, base, size int64) error {
	list := []used.Range{{Start: 0, End: size}}
	if !l.whole {
		var err error
		if list, err = l.inUse(f, base); err != nil {
			return err
		}
	}
	volume, err := luks.Format(io.NewOffsetWriter(w, l.offset), l.options)
	if err != nil {
		return err
	}
	if err := volume.Encrypt(ctx, io.NewOffsetWriter(w, base), sparse.File{File: f}, size, list); err != nil {
		return err
	}
	key := "a random volume key: the next build gives other bytes"
	if l.options.Derive {
		key = "a volume key derived from the passphrase"
	}
	in.Logf("%s: LUKS2, UUID %s, %s", l.what, l.options.UUID, key)
	return nil
}

// inUse lists what the system may read of a partition before it has written
// there.
func (l *luksLayer) inUse(f io.ReaderAt, base int64) ([]used.Range, error) {
	var out []used.Range
	if l.group != nil {
		out = append(out, used.Range{Start: 0, End: lvm.DataStart})
	}
	for _, fs := range l.filesystems {
		list, err := used.Ranges(io.NewSectionReader(f, fs.offset-base, fs.size), fs.kind, fs.size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fs.what, err)
		}
		for _, r := range list {
			out = append(out, used.Range{Start: fs.offset - base + r.Start, End: fs.offset - base + r.End})
		}
	}
	return out, nil
}

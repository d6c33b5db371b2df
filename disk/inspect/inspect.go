package inspect

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/partitions"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Volume is a partition, or all of a disk that has no partitions.
type Volume struct {
	// Partition is the entry in the table; a disk without one has a partition
	// with the number 0.
	Partition partitions.Partition
	// Info is what its superblock says.
	Info *fsread.Info
	// FS is the file system, nil where it cannot be read.
	FS fsread.FS
	// Err says why.
	Err error
	// Mountpoint is where it is in the installed system, if that is known.
	Mountpoint string
}

// Disk is a disk that is looked at.
type Disk struct {
	// Table is the partition table, nil if there is none.
	Table *partitions.Table
	// Volumes are the partitions that hold something of their own.
	Volumes []*Volume

	r      io.ReaderAt
	size   int64
	budget *limit.Budget
	// system is the volume with the root of a system, nil if that is not known.
	system *Volume
}

// Open reads the partition table and the superblocks of a disk of size bytes.
// All that is done with the disk is counted in the budget, and ends with it.
func Open(b *limit.Budget, r sparse.Source, size int64) (*Disk, error) {
	d := &Disk{r: r, size: size, budget: b}
	t, err := partitions.Read(r, size)
	switch {
	case errors.Is(err, partitions.ErrNone):
		d.add(partitions.Partition{Size: size})
		d.system, _ = d.findRoot()
		return d, b.Err()
	case err != nil:
		return nil, err
	}
	d.Table = t
	for _, p := range t.Partitions {
		if p.Start < 0 || p.Start >= size || t.IsExtended(p) {
			continue
		}
		p.Size = min(p.Size, size-p.Start)
		d.add(p)
	}
	d.findMountpoints()
	return d, b.Err()
}

// add adds a volume. One that cannot be read does not keep the others from it.
func (d *Disk) add(p partitions.Partition) {
	r := io.NewSectionReader(d.r, p.Start, p.Size)
	v := &Volume{Partition: p, Info: &fsread.Info{Size: -1, Free: -1}}
	if v.Err = d.budget.Volume(); v.Err == nil {
		var info *fsread.Info
		if info, v.Err = fsread.Probe(r, p.Size); v.Err == nil {
			v.Info = info
			v.FS, v.Err = fsread.Open(d.budget, r, p.Size)
		}
	}
	d.Volumes = append(d.Volumes, v)
}

// Problem says why the files of a volume cannot be read, if they should be: it
// is damaged, or a file system of a known family with something unknown in it.
// It is empty for a volume that is read, or that no one reads here, unless a part
// of it is missing.
func (v *Volume) Problem() string {
	p, readable := v.Partition, slices.Contains([]string{"ext2", "ext3", "ext4", "vfat"}, v.Info.Type)
	switch {
	case v.Err == nil:
		return ""
	case !readable && v.Info.Size > p.Size:
		return fmt.Sprintf("partition %d: its %s has %d bytes and lies in %d: it is cut off", p.Number, v.Info.Type, v.Info.Size, p.Size)
	case !readable && errors.Is(v.Err, fsread.ErrUnsupported):
		return ""
	}
	return fmt.Sprintf("partition %d: %v", p.Number, v.Err)
}

// maxFstab is the longest table of mounts in bytes.
const maxFstab = 1 << 20

// rootMarks are files that the root of a system has.
var rootMarks = []string{"/etc/fstab", "/etc/os-release", "/usr/lib/os-release", "/sbin/init"}

// findRoot returns the volume with the root of a system, nil if it is not known
// or cannot be read, and the table of mounts. A volume whose own table says that
// it is the root comes first. One whose table says that another is, is not the
// root, but tells what is. Nor is one that a table has somewhere else, unless it is
// the table of a volume that the other has elsewhere.
func (d *Disk) findRoot() (root *Volume, table []mount) {
	var other []mount
	var candidates []*Volume
	tables := map[*Volume][]mount{}
	for _, v := range d.Volumes {
		if v.FS == nil || v.Info.Type == "vfat" {
			continue
		}
		mounts := readFstab(v.FS)
		switch named := d.mountedAtRoot(mounts); {
		case named == v:
			return v, mounts
		case named != nil:
			other = mounts
		case hasAny(v.FS, rootMarks):
			candidates, tables[v] = append(candidates, v), mounts
		}
	}
	for _, v := range candidates {
		if !d.mountedElsewhere(v, tables[v]) && !slices.ContainsFunc(candidates, func(c *Volume) bool {
			return d.mountedElsewhere(v, tables[c]) && !d.mountedElsewhere(c, tables[v])
		}) {
			return v, tables[v]
		}
	}
	// What holds the root cannot be read, but what is read may tell where it is.
	if other == nil && len(candidates) > 0 {
		other = tables[candidates[0]]
	}
	return nil, other
}

// mountedElsewhere reports whether a table of mounts has a volume at another place
// than /.
func (d *Disk) mountedElsewhere(v *Volume, mounts []mount) bool {
	return slices.ContainsFunc(mounts, func(m mount) bool {
		return m.path != "/" && strings.HasPrefix(m.path, "/") && d.bySpec(m.spec) == v
	})
}

// mountedAtRoot returns the volume that a table of mounts has at /.
func (d *Disk) mountedAtRoot(mounts []mount) *Volume {
	for _, m := range mounts {
		if m.path == "/" {
			return d.bySpec(m.spec)
		}
	}
	return nil
}

func hasAny(f fsread.FS, names []string) bool {
	for _, name := range names {
		if _, _, err := fsread.Lookup(f, name, true); err == nil {
			return true
		}
	}
	return false
}

// root returns the volume with the root of a system, or the only one that can be
// read, or nil.
func (d *Disk) root() *Volume {
	if d.system != nil {
		return d.system
	}
	var readable []*Volume
	for _, v := range d.Volumes {
		if v.FS != nil {
			readable = append(readable, v)
		}
	}
	if len(readable) == 1 {
		return readable[0]
	}
	return nil
}

// findMountpoints finds the system, and what it mounts where.
func (d *Disk) findMountpoints() {
	var table []mount
	if d.system, table = d.findRoot(); d.system != nil {
		d.system.Mountpoint = "/"
	}
	for _, m := range table {
		if v := d.bySpec(m.spec); v != nil && v.Mountpoint == "" {
			v.Mountpoint = m.path
		}
	}
}

// mount is a line of a table of mounts.
type mount struct{ spec, path string }

// maxMounts is how many lines of a table of mounts are looked at: more than
// there are volumes.
const maxMounts = 4 * limit.MaxVolumes

// readFstab reads the table of mounts in a file system, if there is one.
func readFstab(f fsread.FS) []mount {
	data, err := ReadFile(f, "/etc/fstab", maxFstab)
	if err != nil {
		return nil
	}
	var out []mount
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() && len(out) < maxMounts {
		f := strings.Fields(lines.Text())
		if len(f) >= 3 && !strings.HasPrefix(f[0], "#") {
			out = append(out, mount{f[0], f[1]})
		}
	}
	return out
}

// bySpec finds the volume that the first field of a line names.
func (d *Disk) bySpec(spec string) *Volume {
	key, value, ok := strings.Cut(spec, "=")
	if !ok {
		return nil
	}
	value = strings.Trim(value, `"`)
	for _, v := range d.Volumes {
		have := map[string]string{"UUID": v.Info.UUID, "LABEL": v.Info.Label, "PARTUUID": v.Partition.UUID, "PARTLABEL": v.Partition.Name}[key]
		if have != "" && strings.EqualFold(have, value) {
			return v
		}
	}
	return nil
}

// Tree returns the file systems as one, with those that the system mounts in
// their places.
func (d *Disk) Tree() (fsread.FS, error) {
	root := d.root()
	if root == nil {
		var errs []error
		for _, v := range d.Volumes {
			errs = append(errs, fmt.Errorf("partition %d: %w", v.Partition.Number, v.Err))
		}
		what := "no file system that can be read here is the root of a system: choose a partition"
		if !slices.ContainsFunc(d.Volumes, func(v *Volume) bool { return v.FS != nil }) {
			what = "no file system on it can be read here"
		}
		return nil, errors.Join(append([]error{errors.New(what)}, errs...)...)
	}
	var mounts []fsread.Mount
	for _, v := range d.Volumes {
		if v != root && v.FS != nil && strings.HasPrefix(v.Mountpoint, "/") {
			mounts = append(mounts, fsread.Mount{Path: v.Mountpoint, FS: v.FS})
		}
	}
	return fsread.Join(root.FS, mounts)
}

// Volume returns the file system of a partition.
func (d *Disk) Volume(number int) (fsread.FS, error) {
	for _, v := range d.Volumes {
		if v.Partition.Number == number {
			return v.FS, v.Err
		}
	}
	return nil, fmt.Errorf("there is no partition %d", number)
}

// ReadFile reads a file of up to most bytes.
func ReadFile(f fsread.FS, name string, most int64) ([]byte, error) {
	number, _, err := fsread.Lookup(f, name, true)
	if err != nil {
		return nil, err
	}
	src, size, err := f.Open(number)
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, size, most)
	}
	out := make([]byte, size)
	if _, err := src.ReadAt(out, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return out, nil
}

package inspect

import (
	"fmt"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/image"
	"github.com/osbuildkit/osbuildkit/internal/osrelease"
)

// Report is what is known about an image, in the form that is printed as JSON.
type Report struct {
	// Format and Compression are those of the file; Detail says more, such as
	// how a qcow2 image is compressed.
	Format      string `json:"format"`
	Compression string `json:"compression,omitempty"`
	Detail      string `json:"detail,omitempty"`
	// Size is that of the disk, FileSize that of the file, in bytes.
	Size     int64 `json:"size"`
	FileSize int64 `json:"file_size"`
	// System is the name of the installed system.
	System string `json:"system,omitempty"`
	// Table is gpt or dos, and TableID the identifier of the disk.
	Table   string `json:"partition_table,omitempty"`
	TableID string `json:"partition_table_id,omitempty"`
	// Volumes are the partitions.
	Volumes []VolumeReport `json:"partitions"`
	// Loaders are the boot loaders.
	Loaders []Loader `json:"boot_loaders"`
	// Problems are what is wrong, in words.
	Problems []string `json:"problems,omitempty"`
}

// VolumeReport is what is known about a partition.
type VolumeReport struct {
	Number     int         `json:"number"`
	Start      int64       `json:"start"`
	Size       int64       `json:"size"`
	Type       string      `json:"type,omitempty"`
	TypeName   string      `json:"type_name,omitempty"`
	UUID       string      `json:"uuid,omitempty"`
	Name       string      `json:"name,omitempty"`
	Bootable   bool        `json:"bootable,omitempty"`
	Filesystem *Filesystem `json:"filesystem,omitempty"`
}

// Filesystem is what is known about a file system.
type Filesystem struct {
	Type       string `json:"type"`
	Label      string `json:"label,omitempty"`
	UUID       string `json:"uuid,omitempty"`
	Size       int64  `json:"size,omitempty"`
	Free       *int64 `json:"free,omitempty"`
	Mountpoint string `json:"mountpoint,omitempty"`
	// Files is the number of files and directories, where they can be read, and
	// Labelled that of those with an SELinux label.
	Files    *int `json:"files,omitempty"`
	Labelled *int `json:"selinux_labelled,omitempty"`
}

// Describe looks at all of an image.
func Describe(m *image.Image) (*Report, error) {
	r := &Report{
		Format: string(m.Format), Compression: string(m.Compression), Detail: m.Detail, Size: m.Size, FileSize: m.FileSize,
		Volumes: []VolumeReport{}, Loaders: []Loader{},
	}
	d, err := Open(m.Budget, m, m.Size)
	if err != nil {
		return nil, err
	}
	if d.Table != nil {
		r.Table, r.TableID, r.Problems = d.Table.Kind, d.Table.ID, d.Table.Problems
	}
	for _, v := range d.Volumes {
		p := v.Partition
		vr := VolumeReport{Number: p.Number, Start: p.Start, Size: p.Size, Type: p.Type, UUID: p.UUID, Name: p.Name, Bootable: p.Bootable}
		if p.Type != "" {
			vr.TypeName = p.TypeName()
		}
		if problem := v.Problem(); problem != "" {
			r.Problems = append(r.Problems, problem)
		}
		if v.Info.Type != "" {
			vr.Filesystem = r.filesystem(d, v)
		}
		r.Volumes = append(r.Volumes, vr)
	}
	loaders, err := d.Loaders()
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	r.Loaders = append(r.Loaders, loaders...)
	if root := d.root(); root != nil {
		r.System = systemName(root.FS)
	}
	// What was not looked at because the command is to end is no problem.
	if err := m.Budget.Err(); err != nil {
		return nil, err
	}
	return r, nil
}

// filesystem counts the files of a volume.
func (r *Report) filesystem(d *Disk, v *Volume) *Filesystem {
	f := &Filesystem{Type: v.Info.Type, Label: v.Info.Label, UUID: v.Info.UUID, Size: max(0, v.Info.Size), Mountpoint: v.Mountpoint}
	if v.Info.Free >= 0 {
		f.Free = &v.Info.Free
	}
	if v.FS == nil {
		return f
	}
	files, labelled := 0, 0
	err := fsread.Walk(d.budget, v.FS, func(_ *fsread.Place, n *fsread.Node) error {
		files++
		if _, ok := n.Attributes["security.selinux"]; ok {
			labelled++
		}
		return nil
	})
	if err != nil {
		r.Problems = append(r.Problems, fmt.Sprintf("partition %d: %v", v.Partition.Number, err))
		return f
	}
	f.Files = &files
	if v.Info.Type != "vfat" {
		f.Labelled = &labelled
	}
	return f
}

// maxOSRelease is the longest description of a system in bytes.
const maxOSRelease = 64 << 10

// systemName reads PRETTY_NAME of os-release(5).
func systemName(f fsread.FS) string {
	for _, name := range osrelease.Files {
		data, err := ReadFile(f, "/"+name, maxOSRelease)
		if err != nil {
			continue
		}
		return strings.Map(printable, osrelease.Parse(string(data))["PRETTY_NAME"])
	}
	return ""
}

// printable keeps control characters of an image off the terminal.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/qcow2"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/disk/vdi"
	"github.com/osbuildkit/osbuildkit/disk/vhdx"
	"github.com/osbuildkit/osbuildkit/disk/vmdk"
	"github.com/osbuildkit/osbuildkit/disk/vpc"
)

// Image is an open disk.
type Image struct {
	// Source reads the disk.
	sparse.Source
	// Format is that of the file, or of what was in it if it is compressed.
	Format Format
	// Compression is that of the file as a whole.
	Compression Compression
	// Size is the size of the disk in bytes, FileSize that of the file.
	Size, FileSize int64
	// Detail says more about the format, such as the kind of compression. It
	// may be empty.
	Detail string
	// Budget is what may be spent on the image, for all that is done with it.
	Budget *limit.Budget

	path    string // of the file with the disk in Format
	files   []*os.File
	scratch string
}

// Open opens the image in a file. Temporary files, if any are needed, go below
// the directory for them of the system. The context is that of all reading, also
// later.
func Open(ctx context.Context, path string) (*Image, error) {
	// A pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	m := &Image{path: path, files: []*os.File{f}}
	err = m.unpack(ctx, f)
	if err == nil {
		err = m.read()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), m.Close())
	}
	return m, nil
}

// unpack tells the format of a file, and unpacks one that is compressed.
func (m *Image) unpack(ctx context.Context, f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	m.FileSize = st.Size()
	m.Budget = limit.New(ctx, limit.Held(st))
	if m.Format, m.Compression, err = Detect(f); err != nil || m.Compression == Plain {
		return err
	}
	out, err := m.temporary("disk.raw")
	if err != nil {
		return err
	}
	m.path = out.Name()
	if err := unpack(m.Budget, out, f, m.Compression); err != nil {
		return err
	}
	var inner Compression
	if m.Format, inner, err = Detect(out); err != nil || inner != Plain {
		return errInside(m.Compression, inner, err)
	}
	return nil
}

// errInside says that there is no disk in a compressed file.
func errInside(outer, inner Compression, err error) error {
	if err != nil {
		return fmt.Errorf("what is compressed in it: %w", err)
	}
	return fmt.Errorf("it is compressed twice, with %s and in it %s", outer, inner)
}

// temporary makes a file that is removed when the image is closed.
func (m *Image) temporary(name string) (*os.File, error) {
	if m.scratch == "" {
		var err error
		if m.scratch, err = os.MkdirTemp("", "osbuildkit-image-"); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(filepath.Join(m.scratch, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		m.files = append(m.files, f)
	}
	return f, err
}

// reader is what the packages of the formats give.
type reader interface {
	sparse.Source
	Size() int64
}

// read makes the disk readable.
func (m *Image) read() error {
	f := m.files[len(m.files)-1]
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if m.Format == Raw {
		m.Source, m.Size = m.Budget.Source(sparse.File{File: f}), st.Size()
		return nil
	}
	r := m.Budget.Source(sparse.File{File: f})
	var d reader
	switch m.Format {
	case Qcow2:
		var q *qcow2.Image
		if q, err = qcow2.Open(r, m.Budget); err == nil {
			d, m.Detail = q, fmt.Sprintf("version %d, clusters of %d KiB, compression type %s", q.Version(), max(1, q.ClusterSize()>>10), q.CompressionType())
		}
	case VDI:
		var v *vdi.Image
		if v, err = vdi.Open(r); err == nil {
			d, m.Detail = v, string(v.Kind())
		}
	case VMDK:
		var v *vmdk.Image
		if v, err = vmdk.Open(r, st.Size(), m.Budget); err == nil {
			d, m.Detail = v, string(v.Form())
		}
	case VPC:
		var v *vpc.Image
		if v, err = vpc.Open(r, st.Size()); err == nil {
			if d, m.Detail = v, "fixed"; v.Dynamic() {
				m.Detail = "dynamic"
			}
		}
	case VHDX:
		var v *vhdx.Image
		if v, err = vhdx.Open(r); err == nil {
			d, m.Detail = v, "dynamic"
		}
	default:
		err = fmt.Errorf("the format %q is not read", m.Format)
	}
	if err != nil {
		return err
	}
	m.Source, m.Size = m.Budget.Source(d), d.Size()
	return nil
}

// RawFile returns the absolute path of a file with the raw disk: the one that was
// opened if it is raw, else a sparse temporary one, which is gone after Close. It
// is what another program may be given, and it must be told that the file is
// raw.
func (m *Image) RawFile() (string, error) {
	if m.Format == Raw {
		return filepath.Abs(m.path)
	}
	out, err := m.temporary("converted.raw")
	if err != nil {
		return "", err
	}
	const block = 1 << 20
	err = sparse.Blocks(m.Budget.Context(), m.Source, m.Size, sparse.Work{Block: block}, func(index int64, raw, _ []byte) error {
		at := index * block
		w := sparse.NewWriterAt(&counted{out, m.Budget}, at)
		_, err := w.Write(raw[:min(block, m.Size-at)])
		return err
	})
	if err == nil {
		err = out.Truncate(m.Size)
	}
	if err != nil {
		return "", fmt.Errorf("%s: converting the disk: %w", m.path, err)
	}
	return out.Name(), nil
}

// counted counts what is written to a temporary file.
type counted struct {
	f      *os.File
	budget *limit.Budget
}

// WriteAt writes if the budget is not spent.
func (c *counted) WriteAt(p []byte, off int64) (int, error) {
	if err := c.budget.Data(int64(len(p))); err != nil {
		return 0, err
	}
	return c.f.WriteAt(p, off)
}

// Close closes the image and removes temporary files.
func (m *Image) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	m.files = nil
	if m.scratch != "" {
		errs = append(errs, os.RemoveAll(m.scratch))
		m.scratch = ""
	}
	return errors.Join(errs...)
}

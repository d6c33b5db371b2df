package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/osbuildkit/osbuildkit/disk/qcow2"
	"github.com/osbuildkit/osbuildkit/disk/qemuimg"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
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
	// Path is a file with the disk in Format: the one that was opened, or the
	// unpacked one, which is gone after Close.
	Path string
	// Detail says more about the format, such as the kind of compression. It
	// may be empty.
	Detail string

	files   []*os.File
	scratch string
}

// Open opens the image in a file. Temporary files, if any are needed, go below
// the directory for them of the system.
func Open(ctx context.Context, path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	m := &Image{Path: path, files: []*os.File{f}}
	err = m.unpack(ctx, f)
	if err == nil {
		err = m.read(ctx)
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
	if m.Format, m.Compression, err = Detect(f); err != nil || m.Compression == Plain {
		return err
	}
	out, err := m.temporary("disk.raw")
	if err != nil {
		return err
	}
	if _, err := unpack(ctx, out, f, m.Compression); err != nil {
		return err
	}
	m.Path = out.Name()
	var inner Compression
	if m.Format, inner, err = Detect(out); err != nil {
		return fmt.Errorf("what is compressed in it: %w", err)
	}
	if inner != Plain {
		return fmt.Errorf("it is compressed twice, with %s and in it %s", m.Compression, inner)
	}
	return nil
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

// read makes the disk readable.
func (m *Image) read(ctx context.Context) error {
	f := m.files[len(m.files)-1]
	switch m.Format {
	case Raw:
		return m.raw(f)
	case Qcow2:
		q, err := qcow2.Open(f)
		if err != nil {
			return err
		}
		m.Source, m.Size = q, q.Size()
		m.Detail = fmt.Sprintf("version %d, clusters of %d KiB, compression type %s", q.Version(), max(1, q.ClusterSize()>>10), q.CompressionType())
		return nil
	case VMDK:
		if err := checkVMDK(f); err != nil {
			return err
		}
	}
	out, err := m.temporary("converted.raw")
	if err != nil {
		return err
	}
	if err := qemuimg.Raw(ctx, m.Path, string(m.Format), out.Name()); err != nil {
		return fmt.Errorf("reading the format %s: %w", m.Format, err)
	}
	return m.raw(out)
}

func (m *Image) raw(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	m.Source, m.Size = sparse.File{File: f}, st.Size()
	return nil
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

package debian

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// Bounds of the control member of a package file.
const (
	maxControlMember = 64 << 20
	maxControlFiles  = 1000
)

// Deb is one opened package file. Its control member is in memory; the data
// member is a stream that can be read once.
type Deb struct {
	// Control is the package's stanza.
	Control Stanza
	// Files lists the other files of the control member, such as "md5sums"
	// and "postinst", in the order of the archive.
	Files []ControlFile

	data io.Reader
	done func()
}

// ControlFile is one file of a package's control member.
type ControlFile struct {
	Name string
	Mode fs.FileMode
	Data []byte
}

// File returns the content of a file of the control member, or nil.
func (d *Deb) File(name string) []byte {
	for i := range d.Files {
		if d.Files[i].Name == name {
			return d.Files[i].Data
		}
	}
	return nil
}

// Data returns the package's files as a tar stream that is not compressed.
func (d *Deb) Data() *tar.Reader { return tar.NewReader(d.data) }

// DataStream returns the bytes of that stream.
func (d *Deb) DataStream() io.Reader { return d.data }

// Close releases the decompressor. It does not close the reader that the
// package was opened from.
func (d *Deb) Close() {
	d.done()
	d.done, d.data = func() {}, bytes.NewReader(nil)
}

// OpenDeb reads a package file (deb(5), format 2.0) up to its data. Members
// compressed with xz, zstd or gzip and such that are not compressed are
// known; these are all that Debian and its derivatives have used since 2012.
func OpenDeb(r io.Reader) (*Deb, error) {
	ar := &arReader{r: r}
	if err := ar.magic(); err != nil {
		return nil, err
	}
	name, body, err := ar.next()
	if err != nil {
		return nil, err
	}
	format, err := io.ReadAll(io.LimitReader(body, 64))
	if err != nil {
		return nil, err
	}
	if name != "debian-binary" || !bytes.HasPrefix(format, []byte("2.")) {
		return nil, fmt.Errorf("not a Debian package of format 2: the first member is %q", name)
	}
	d := &Deb{done: func() {}}
	for {
		name, body, err := ar.next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the package has no member data.tar")
		}
		if err != nil {
			return nil, err
		}
		switch {
		case strings.HasPrefix(name, "control.tar") && d.Control == nil:
			if err := d.readControl(name, body); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		case strings.HasPrefix(name, "data.tar"):
			if d.Control == nil {
				return nil, errors.New("the package has its data before its control member")
			}
			if d.data, d.done, err = decompressMember(name, body); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return d, nil
		case strings.HasPrefix(name, "_"):
			// Members that begin with an underscore may be passed over.
		default:
			return nil, fmt.Errorf("unexpected member %q", name)
		}
	}
}

func (d *Deb) readControl(name string, body io.Reader) error {
	r, done, err := decompressMember(name, body)
	if err != nil {
		return err
	}
	defer done()
	lr := &io.LimitedReader{R: r, N: maxControlMember}
	t := tar.NewReader(lr)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		base := path.Clean(h.Name)
		if h.Typeflag == tar.TypeDir && base == "." {
			continue
		}
		if h.Typeflag != tar.TypeReg || strings.Contains(base, "/") || strings.HasPrefix(base, ".") || !validPath(base) {
			return fmt.Errorf("%q is not a plain file at the top", h.Name)
		}
		if len(d.Files) >= maxControlFiles {
			return fmt.Errorf("more than %d files", maxControlFiles)
		}
		data, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		if base == "control" {
			if err := d.setControl(data); err != nil {
				return err
			}
			continue
		}
		if d.File(base) != nil {
			return fmt.Errorf("%q occurs twice", base)
		}
		d.Files = append(d.Files, ControlFile{base, h.FileInfo().Mode().Perm(), data})
	}
	if lr.N <= 0 {
		return fmt.Errorf("larger than %d MiB", maxControlMember>>20)
	}
	if d.Control == nil {
		return errors.New("has no file control")
	}
	return nil
}

func (d *Deb) setControl(data []byte) error {
	stanzas, err := ParseControl(data)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if d.Control != nil || len(stanzas) != 1 {
		return errors.New("control: want one stanza")
	}
	s := stanzas[0]
	if !validName(s.Get("Package")) || !validVersion(s.Get("Version")) || !validArch(s.Get("Architecture")) {
		return fmt.Errorf("control: package %q, version %q, architecture %q are not valid", s.Get("Package"), s.Get("Version"), s.Get("Architecture"))
	}
	for _, f := range s {
		if strings.EqualFold(f.Name, "Status") || strings.EqualFold(f.Name, "Conffiles") {
			return fmt.Errorf("control: field %s belongs to the package database", f.Name)
		}
	}
	d.Control = s
	return nil
}

func decompressMember(name string, r io.Reader) (io.Reader, func(), error) {
	none := func() {}
	switch path.Ext(name) {
	case ".xz":
		x, done, err := xzReader(r)
		return x, done, err
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxDictionary), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, none, err
		}
		return z, z.Close, nil
	case ".gz":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, none, err
		}
		return z, none, nil
	case ".tar":
		return r, none, nil
	}
	return nil, none, fmt.Errorf("unknown compression %q; known are xz, zst and gz", path.Ext(name))
}

// xzReaders keeps decompressors: each has a dictionary of 8 MiB and more, and
// a system is made of hundreds of members.
var xzReaders sync.Pool

func xzReader(r io.Reader) (io.Reader, func(), error) {
	x, _ := xzReaders.Get().(*xz.Reader)
	var err error
	if x == nil {
		x, err = xz.NewReader(r, maxDictionary)
	} else {
		err = x.Reset(r)
	}
	if err != nil {
		return nil, func() {}, err
	}
	return x, func() { xzReaders.Put(x) }, nil
}

// arReader reads the members of an ar archive in turn.
type arReader struct {
	r    io.Reader
	body *io.LimitedReader
	pad  bool
}

func (a *arReader) magic() error {
	var m [8]byte
	if _, err := io.ReadFull(a.r, m[:]); err != nil || string(m[:]) != "!<arch>\n" {
		return errors.New("not a Debian package: no ar archive")
	}
	return nil
}

func (a *arReader) next() (string, io.Reader, error) {
	if a.body != nil {
		if _, err := io.Copy(io.Discard, a.body); err != nil {
			return "", nil, err
		}
		if a.body.N > 0 {
			return "", nil, io.ErrUnexpectedEOF
		}
		if a.pad {
			var one [1]byte
			if _, err := io.ReadFull(a.r, one[:]); err != nil && !errors.Is(err, io.EOF) {
				return "", nil, err
			}
		}
	}
	var h [60]byte
	if _, err := io.ReadFull(a.r, h[:]); err != nil {
		return "", nil, err
	}
	if h[58] != '`' || h[59] != '\n' {
		return "", nil, errors.New("damaged ar archive: bad member header")
	}
	size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
	if err != nil || size < 0 {
		return "", nil, errors.New("damaged ar archive: bad member size")
	}
	a.body = &io.LimitedReader{R: a.r, N: size}
	a.pad = size%2 == 1
	name := strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
	return name, a.body, nil
}

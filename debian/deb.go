package debian

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/expand"
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
			data, err := decompressMember(name, body)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			d.data, d.done = data, func() { data.Close() }
			return d, nil
		case strings.HasPrefix(name, "_"):
			// Members that begin with an underscore may be passed over.
		default:
			return nil, fmt.Errorf("unexpected member %q", name)
		}
	}
}

func (d *Deb) readControl(name string, body io.Reader) error {
	r, err := decompressMember(name, body)
	if err != nil {
		return err
	}
	defer r.Close()
	t := tar.NewReader(expand.Limit(r, maxControlMember))
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
		if err := CheckMember(h); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
		if h.Typeflag != tar.TypeReg || strings.Contains(base, "/") || strings.HasPrefix(base, ".") || !validPath(base) {
			return fmt.Errorf("%q is not a plain file at the top", h.Name)
		}
		if len(d.Files) >= maxControlFiles {
			return fmt.Errorf("more than %d files", maxControlFiles)
		}
		data, err := expand.ReadAll(t, maxControlMember)
		if err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
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

// decompressMember opens a member by the ending of its name.
func decompressMember(name string, r io.Reader) (io.ReadCloser, error) {
	switch path.Ext(name) {
	case ".xz", ".zst", ".gz":
		return expand.Open(expand.ByName(name), r, 0)
	case ".tar":
		return io.NopCloser(r), nil
	}
	return nil, fmt.Errorf("unknown compression %q; known are xz, zst and gz", path.Ext(name))
}

// CheckMember refuses a member of an archive that has more content than the archive
// holds of it. Dpkg knows no sparse files either, and no package has any.
func CheckMember(h *tar.Header) error {
	sparse := h.Typeflag == tar.TypeGNUSparse
	for name := range h.PAXRecords {
		sparse = sparse || strings.HasPrefix(name, "GNU.sparse.")
	}
	if sparse {
		return errors.New("it is a sparse file, which a package cannot hold")
	}
	return nil
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

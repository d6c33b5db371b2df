package stages

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// Bounds of what an archive may hold.
const (
	maxArchiveEntries = 1_000_000
	maxArchiveBytes   = 64 << 30
)

// archive is a file in one of tar's formats.
type archive struct {
	file    string
	strip   int
	entries []archiveEntry
	kinds   map[string]byte
	// firsts holds the names that are other names of a file, with the one under
	// which its content is in the archive.
	firsts map[string]string
}

// first returns the name under which the content of a file is in the archive.
func (a *archive) first(name string) string { return orDefault(a.firsts[name], name) }

// archiveEntry is a name in the archive, without the directories that are
// taken off; link is that of the file that it is another name of.
type archiveEntry struct{ name, link string }

// archiveDir is the kind of a directory that the archive holds or implies.
const archiveDir = byte(tar.TypeDir)

// kind returns what the archive has under a name.
func (a *archive) kind(name string) (byte, bool) {
	if name == "." {
		return archiveDir, true
	}
	k, ok := a.kinds[name]
	return k, ok
}

// decompressors are the forms of compression by the first bytes of the file.
var decompressors = []struct {
	magic string
	open  func(io.Reader) (io.Reader, error)
}{
	{"\x1f\x8b", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{"BZh", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	{"\xfd7zXZ\x00", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, 1<<30) }},
	{"\x28\xb5\x2f\xfd", func(r io.Reader) (io.Reader, error) {
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
	}},
}

// read calls visit for each entry with the name that it has without the
// directories that are taken off; entries that are left with none are passed.
func (a *archive) read(visit func(name string, h *tar.Header, r io.Reader) error) (err error) {
	f, err := os.Open(a.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	br := bufio.NewReaderSize(f, 1<<20)
	var r io.Reader = br
	for _, d := range decompressors {
		if head, _ := br.Peek(len(d.magic)); bytes.Equal(head, []byte(d.magic)) {
			if r, err = d.open(br); err != nil {
				return err
			}
		}
	}
	tr := tar.NewReader(r)
	var total int64
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if total += h.Size; n > maxArchiveEntries || total > maxArchiveBytes {
			return fmt.Errorf("it holds more than %d files or %d GiB", maxArchiveEntries, maxArchiveBytes>>30)
		}
		name, err := a.name(h.Name)
		if err != nil {
			return err
		}
		if name == "" {
			continue
		}
		if err := visit(name, h, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// name takes leading directories off; "" means that nothing is left.
func (a *archive) name(name string) (string, error) {
	parts := strings.Split(name, "/")
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" || p == "." })
	if slices.Contains(parts, "..") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("the name %s leads out of the archive", quote(name))
	}
	if len(parts) <= a.strip {
		return "", nil
	}
	return strings.Join(parts[a.strip:], "/"), nil
}

// readIndex reads the archive once: it finds out whether it is whole, and what
// it holds.
func (a *archive) readIndex() error {
	a.kinds, a.firsts = map[string]byte{}, map[string]string{}
	return a.read(func(name string, h *tar.Header, _ io.Reader) error {
		e := archiveEntry{name: name}
		kind := h.Typeflag
		delete(a.firsts, name)
		switch kind {
		case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		case tar.TypeLink:
			link, err := a.name(h.Linkname)
			if err != nil {
				return err
			}
			if kind = a.kinds[link]; link == "" || kind == 0 || kind == tar.TypeDir {
				return fmt.Errorf("it is another name of %s, which the archive does not hold before it", quote(h.Linkname))
			}
			e.link = a.first(link)
			a.firsts[name] = e.link
		default:
			return fmt.Errorf("it is of a type that is not known: %q", h.Typeflag)
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if k, ok := a.kinds[dir]; ok && k != archiveDir {
				return fmt.Errorf("%s is a directory here and something else before", quote(dir))
			}
			a.kinds[dir] = archiveDir
		}
		if old, ok := a.kinds[name]; ok && (old == archiveDir) != (kind == archiveDir) {
			return errors.New("the archive holds it twice, once as a directory")
		}
		a.kinds[name] = kind
		a.entries = append(a.entries, e)
		return nil
	})
}

// copier writes files of an archive into a tree.
type copier struct {
	in         *module.Input
	t          *tree.Root
	a          *archive
	l          *ledger.Ledger
	selections []*selection
	count      int
}

// copy writes what is selected. Directories get their times at the end, as
// every file in them changes it.
func (c *copier) copy(s *selection) error {
	if s.contents {
		if err := c.t.MkdirAll(s.to, 0o755); err != nil {
			return err
		}
	} else if err := c.t.MkdirAll(path.Dir(s.to), 0o755); err != nil {
		return err
	}
	times := map[string]time.Time{}
	places := map[string]string{} // of the files that may have more names
	err := c.a.read(func(name string, h *tar.Header, r io.Reader) error {
		place, ok := s.place(name)
		if !ok {
			return nil
		}
		if err := c.t.MkdirAll(path.Dir(place), 0o755); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeLink {
			link, err := c.a.name(h.Linkname)
			if err != nil {
				return err
			}
			old, ok := places[c.a.first(link)]
			if ok && old == place {
				return nil // adopted before
			}
			if !ok {
				return errors.New("the file that it is another name of is not there")
			}
			if err := c.clear(place); err != nil {
				return err
			}
			c.count++
			return c.t.Link(old, place)
		}
		if h.Typeflag == tar.TypeDir {
			times[place] = c.time(h)
			return c.directory(place, h)
		}
		places[name] = place
		c.count++
		return c.file(place, h, r)
	})
	if err != nil {
		return err
	}
	for _, place := range slices.Sorted(maps.Keys(times)) {
		if err := c.t.Chtimes(place, times[place]); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) time(h *tar.Header) time.Time {
	if c.in.Epoch != 0 && h.ModTime.Unix() > c.in.Epoch {
		return c.in.Time()
	}
	return h.ModTime.Truncate(time.Second)
}

// clear removes what is in the place of a file, but no directory, and what the
// ledger has for it.
func (c *copier) clear(place string) error {
	c.l.Remove("/" + place)
	return clearPlace(c.t, place)
}

func (c *copier) directory(place string, h *tar.Header) error {
	st, err := c.t.Stat(place)
	switch {
	case missing(err):
		if err := c.clear(place); err != nil {
			return err
		}
		if err := c.t.Mkdir(place, 0o700); err != nil {
			return err
		}
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("/%s in the tree is not a directory", place)
	default:
		if place, err = c.t.Resolve(place, true); err != nil {
			return err
		}
	}
	return c.attributes(place, h)
}

// attributes gives a file its owner and mode, in this order: a change of owner
// takes the set-user-id bit away.
func (c *copier) attributes(place string, h *tar.Header) error {
	if os.Geteuid() == 0 {
		if err := c.t.Lchown(place, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	return c.t.Chmod(place, h.FileInfo().Mode()&bits)
}

// file makes anything but a directory.
func (c *copier) file(place string, h *tar.Header, r io.Reader) error {
	if err := c.clear(place); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		if err := c.t.Symlink(h.Linkname, place); err != nil {
			return err
		}
		if err := c.attributes(place, h); err != nil {
			return err
		}
		return c.t.Lchtimes(place, c.time(h))
	case tar.TypeReg:
		f, err := c.t.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	default:
		mode := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
		if err := c.t.Mknod(place, mode|0o600, unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))); err != nil {
			return err
		}
	}
	if err := c.attributes(place, h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return c.t.Lchtimes(place, c.time(h))
	}
	return c.t.Chtimes(place, c.time(h))
}

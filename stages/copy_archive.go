package stages

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/ctxio"
	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/untar"
	"github.com/osbuildkit/osbuildkit/tree"
)

// Bounds of what an archive may hold. A sparse file counts with its data only,
// but the disk that it is for is not endless either.
const (
	maxArchiveEntries = 1_000_000
	maxArchiveBytes   = 64 << 30
	maxArchiveSize    = 8 << 40
	// maxArchiveNames bounds all names together, which are kept in memory, and
	// maxArchivePath one of them, as Linux does.
	maxArchiveNames = 512 << 20
	maxArchivePath  = 4095
	// maxArchiveDictionary is what a decompressor may be told to take: xz and
	// zstd --ultra --long, with which archives of sources are made, ask for this.
	maxArchiveDictionary = 1 << 30
)

// archive is a file in one of tar's formats, or files that are read like one.
type archive struct {
	// what names it in messages.
	what string
	// walk reads what is no file of tar's, in the manner of read.
	walk func(ctx context.Context, visit func(name string, h *untar.Header, r io.Reader) error) error
	// keep says that directories of the tree stay as they are.
	keep    bool
	file    string
	strip   int
	entries []archiveEntry
	kinds   map[string]untar.Type
	// firsts holds the names that are other names of a file, with the one under
	// which its content is in the archive.
	firsts map[string]string
	// unknown says for the log what is of a type that is not known.
	unknown []string
	// packed is the size of the file.
	packed int64
}

// first returns the name under which the content of a file is in the archive.
func (a *archive) first(name string) string { return orDefault(a.firsts[name], name) }

// archiveEntry is a name in the archive, without the directories that are
// taken off; link is that of the file that it is another name of.
type archiveEntry struct{ name, link string }

// archiveDir is the kind of a directory that the archive holds or implies.
const archiveDir = untar.Dir

// kind returns what the archive has under a name.
func (a *archive) kind(name string) (untar.Type, bool) {
	if name == "." {
		return archiveDir, true
	}
	k, ok := a.kinds[name]
	return k, ok
}

// read calls visit for each entry with the name that it has without the
// directories that are taken off; entries that are left with none are passed.
func (a *archive) read(ctx context.Context, visit func(name string, h *untar.Header, r io.Reader) error) (err error) {
	if a.walk != nil {
		return a.walk(ctx, visit)
	}
	f, err := os.Open(a.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	a.packed = st.Size()
	br := bufio.NewReaderSize(ctxio.Reader(ctx, f), 1<<20)
	r, err := expand.Open(expand.ByContent(br), br, maxArchiveDictionary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	// What is read of a few bytes takes time as well.
	tr := untar.NewReader(ctxio.Reader(ctx, expand.Limit(r, maxArchiveBytes+4096*maxArchiveEntries)))
	var total, size, names int64
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if total += min(h.Data, maxArchiveBytes+1); n > maxArchiveEntries || total > maxArchiveBytes {
			return fmt.Errorf("it holds more than %d files or %d GiB", maxArchiveEntries, maxArchiveBytes>>30)
		}
		if size += min(h.Size, maxArchiveSize+1); size > maxArchiveSize {
			return fmt.Errorf("its sparse files are larger than %d TiB", maxArchiveSize>>40)
		}
		if max(len(h.Name), len(h.Link)) > maxArchivePath {
			return fmt.Errorf("the name %s is longer than %d bytes", quote(h.Name), maxArchivePath)
		}
		if names += int64(len(h.Name) + len(h.Link)); names > maxArchiveNames {
			return fmt.Errorf("its names have more than %d MiB", maxArchiveNames>>20)
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

// name takes leading directories off, of which "." is one as for GNU tar; ""
// means that nothing is left.
func (a *archive) name(name string) (string, error) {
	parts := slices.DeleteFunc(strings.Split(name, "/"), func(p string) bool { return p == "" })
	if slices.Contains(parts, "..") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("the name %s leads out of the archive", quote(name))
	}
	parts = parts[min(a.strip, len(parts)):]
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "." }), "/"), nil
}

// readIndex reads the archive once: it finds out whether it is whole, and what
// it holds.
func (a *archive) readIndex(ctx context.Context) error {
	a.kinds, a.firsts = map[string]untar.Type{}, map[string]string{}
	return a.read(ctx, func(name string, h *untar.Header, _ io.Reader) error {
		e := archiveEntry{name: name}
		kind := h.Type
		if h.Unknown != 0 {
			a.unknown = append(a.unknown, fmt.Sprintf("%s is of a type that is not known (%q): it is copied as a file, as GNU tar does", quote(h.Name), h.Unknown))
		}
		if kind == untar.HardLink {
			link, err := a.name(h.Link)
			if err != nil {
				return err
			}
			if kind = a.kinds[link]; link == "" || kind == 0 || kind == untar.Dir {
				return fmt.Errorf("it is another name of %s, which the archive does not hold before it", quote(h.Link))
			}
			e.link = a.first(link)
			if e.link == name {
				return nil // what some programs write of a file that they have seen twice
			}
		}
		delete(a.firsts, name)
		if e.link != "" {
			a.firsts[name] = e.link
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			k, ok := a.kinds[dir]
			if ok && k != archiveDir {
				return fmt.Errorf("%s is a directory here and something else before", quote(dir))
			}
			if ok {
				break // and so are those above it
			}
			if a.kinds[dir] = archiveDir; len(a.kinds) > 2*maxArchiveEntries {
				return fmt.Errorf("its names have more than %d directories", 2*maxArchiveEntries)
			}
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
	// budget counts the data of files, and buf is memory to write them with.
	budget expand.Budget
	buf    []byte
}

func newCopier(in *module.Input, t *tree.Root, a *archive, l *ledger.Ledger) *copier {
	return &copier{in: in, t: t, a: a, l: l, budget: expand.Budget{Data: maxArchiveBytes, Packed: a.packed}, buf: make([]byte, 256<<10)}
}

// copy writes what is selected. Directories get their times at the end, as
// every file in them changes it.
func (c *copier) copy(ctx context.Context, s *selection) error {
	if s.contents {
		if err := c.t.MkdirAll(s.to, 0o755); err != nil {
			return err
		}
	} else if err := c.t.MkdirAll(path.Dir(s.to), 0o755); err != nil {
		return err
	}
	times := map[string]time.Time{}
	places := map[string]string{} // of the files that may have more names
	err := c.a.read(ctx, func(name string, h *untar.Header, r io.Reader) error {
		place, ok := s.place(name)
		if !ok {
			return nil
		}
		if err := c.t.MkdirAll(path.Dir(place), 0o755); err != nil {
			return err
		}
		if h.Type == untar.HardLink {
			link, err := c.a.name(h.Link)
			if err != nil {
				return err
			}
			if link == name {
				return nil
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
		if h.Type == untar.Dir {
			made, err := c.directory(s, place, h)
			if made || !c.a.keep {
				times[place] = c.time(h)
			}
			return err
		}
		places[name] = place
		c.count++
		return c.file(ctx, s, place, h, r)
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

func (c *copier) time(h *untar.Header) time.Time {
	if c.in.Epoch != 0 && h.Time.Unix() > c.in.Epoch {
		return c.in.Time()
	}
	return h.Time
}

// clear removes what is in the place of a file, but no directory, and what the
// ledger has for it.
func (c *copier) clear(place string) error {
	c.l.Remove("/" + place)
	return clearPlace(c.t, place)
}

// directory makes a directory, or gives one that is there what the archive says of
// it; made says that it was not there.
func (c *copier) directory(s *selection, place string, h *untar.Header) (made bool, err error) {
	st, err := c.t.Stat(place)
	switch {
	case missing(err):
		if err := c.clear(place); err != nil {
			return false, err
		}
		if err := c.t.Mkdir(place, 0o700); err != nil {
			return false, err
		}
		made = true
	case err != nil:
		return false, err
	case !st.IsDir():
		return false, fmt.Errorf("/%s in the tree is not a directory", place)
	case c.a.keep:
		return false, nil
	default:
		if place, err = c.t.Resolve(place, true); err != nil {
			return false, err
		}
	}
	return made, c.attributes(s, place, h)
}

// attributes gives a file its owner and mode, in this order: a change of owner
// takes the set-user-id bit away.
func (c *copier) attributes(s *selection, place string, h *untar.Header) error {
	uid, gid := h.UID, h.GID
	if s.uid >= 0 {
		uid = s.uid
	}
	if s.gid >= 0 {
		gid = s.gid
	}
	if os.Geteuid() == 0 || s.uid >= 0 || s.gid >= 0 {
		if err := c.t.Lchown(place, uid, gid); err != nil {
			return err
		}
	}
	if h.Type == untar.Symlink {
		return nil
	}
	mode := h.Mode
	switch {
	case s.mode < 0:
	case h.Type == untar.Dir:
		mode = directoryMode(uint32(s.mode))
	default:
		mode = uint32(s.mode)
	}
	return c.t.Chmod(place, fileMode(mode))
}

// file makes anything but a directory.
func (c *copier) file(ctx context.Context, s *selection, place string, h *untar.Header, r io.Reader) error {
	if err := c.clear(place); err != nil {
		return err
	}
	switch h.Type {
	case untar.Symlink:
		if err := c.t.Symlink(h.Link, place); err != nil {
			return err
		}
		if err := c.attributes(s, place, h); err != nil {
			return err
		}
		return c.t.Lchtimes(place, c.time(h))
	case untar.File:
		f, err := c.t.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if err = errors.Join(c.content(ctx, f, h, r), f.Close()); err != nil {
			return err
		}
	default:
		mode := map[untar.Type]uint32{untar.Char: unix.S_IFCHR, untar.Block: unix.S_IFBLK, untar.Fifo: unix.S_IFIFO}[h.Type]
		if err := c.t.Mknod(place, mode|0o600, unix.Mkdev(h.Major, h.Minor)); err != nil {
			return err
		}
	}
	if err := c.attributes(s, place, h); err != nil {
		return err
	}
	if h.Type != untar.File {
		return c.t.Lchtimes(place, c.time(h))
	}
	return c.t.Chtimes(place, c.time(h))
}

// content writes the content of a file: what is zero, and what a sparse file has no
// data for, stays a hole.
func (c *copier) content(ctx context.Context, f *os.File, h *untar.Header, r io.Reader) error {
	for _, p := range h.Extents() {
		if err := c.budget.Copy(ctx, f, p.Offset, r, p.Size, c.buf); err != nil {
			return err
		}
	}
	return f.Truncate(h.Size)
}

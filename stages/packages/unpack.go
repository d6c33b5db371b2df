package packages

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/module"
)

// Bounds of what one package may unpack. The largest packages of Debian hold
// some 100 000 files and 4 GB.
const (
	maxPackageEntries = 1_000_000
	maxPackageBytes   = 32 << 30
)

// unpackOptions says how packages are unpacked.
type unpackOptions struct {
	filter pathFilter
	// epoch is the latest time that a file may have; 0 sets no bound.
	epoch int64
	// ignoreOwners leaves all files to the user who runs the program. Only
	// tests set it: a tree without owners is of no use.
	ignoreOwners bool
	// workers is how many packages are decompressed at a time.
	workers int
}

// unpackDebootstrap is the part org.osbuildkit.debootstrap.unpack.
func unpackDebootstrap(ctx context.Context, in *module.Input) error {
	var o DebootstrapOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	opts := unpackOptions{epoch: in.Epoch, filter: pathFilter{excludes: o.PathExcludes, includes: o.PathIncludes}, workers: runtime.GOMAXPROCS(0)}
	debs, err := input(in, "debs")
	if err != nil {
		return err
	}
	list, err := inputList(in)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("unpacking packages sets the owners of files, which takes root; run it in a build step")
	}
	return unpack(ctx, in, debs, list, opts)
}

// unpack makes the tree out of the package files: first the merged
// directories, then the files of each package in turn, then the package
// database. The result depends on nothing but list and files: decompression
// runs ahead on several cores, while one writer takes the packages in order.
func unpack(ctx context.Context, in *module.Input, debs string, list *debian.PackageList, opts unpackOptions) error {
	w, err := newTreeWriter(in.Tree, opts)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.mergedDirs(); err != nil {
		return err
	}
	packages := unpackOrder(list)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := make([]*openedDeb, len(packages))
	for i := range jobs {
		jobs[i] = newOpenedDeb(filepath.Join(debs, packages[i].File), &packages[i])
	}
	go func() {
		slots := make(chan struct{}, max(1, opts.workers))
		for _, j := range jobs {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			go func() {
				defer func() { <-slots }()
				j.read(ctx)
			}()
		}
	}()
	db := newDatabase(w)
	for _, j := range jobs {
		if err := w.install(ctx, j, db); err != nil {
			return fmt.Errorf("package %s %s: %w", j.pkg.Name, j.pkg.Version, err)
		}
	}
	if err := db.write(); err != nil {
		return err
	}
	if err := w.writeFilter(); err != nil {
		return err
	}
	if err := w.liveSources(in, list); err != nil {
		return err
	}
	if err := w.finish(); err != nil {
		return err
	}
	in.Logf("unpacked %d packages, %d files", len(packages), w.count)
	return nil
}

// unpackOrder puts base-files first: the first package that holds a directory
// decides its mode, as with dpkg.
func unpackOrder(list *debian.PackageList) []debian.Package {
	out := slices.Clone(list.Packages)
	slices.SortStableFunc(out, func(a, b debian.Package) int {
		rank := func(p debian.Package) int {
			if p.Name == "base-files" {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	return out
}

// openedDeb decompresses one package ahead of the writer.
type openedDeb struct {
	path string
	pkg  *debian.Package
	// head is closed once deb or err is set.
	head chan struct{}
	deb  *debian.Deb
	err  error
	// blocks carries the data stream; its capacity bounds the memory. It is
	// closed at the end, after tailErr is set.
	blocks  chan []byte
	tailErr error
	rest    []byte
}

// Block size and count: 8 MiB for each package that is worked on.
const (
	blockSize  = 256 << 10
	blockCount = 32
)

func newOpenedDeb(file string, pkg *debian.Package) *openedDeb {
	return &openedDeb{path: file, pkg: pkg, head: make(chan struct{}), blocks: make(chan []byte, blockCount)}
}

// read opens the package, sends its data stream and verifies size and
// checksum of the whole file. The writer learns of a wrong checksum at the
// end of the stream only: the tree is thrown away then.
func (j *openedDeb) read(ctx context.Context) {
	defer close(j.blocks)
	f, err := os.Open(j.path)
	if err != nil {
		j.err = err
		close(j.head)
		return
	}
	defer f.Close()
	sum := sha256.New()
	// A buffer before the checksum: decompressors read a byte at a time.
	src := io.TeeReader(io.LimitReader(f, j.pkg.Size+1), sum)
	br := bufio.NewReaderSize(src, 64<<10)
	j.deb, j.err = debian.OpenDeb(br)
	close(j.head)
	if j.err != nil {
		return
	}
	defer j.deb.Close()
	j.tailErr = j.send(ctx)
	if j.tailErr != nil {
		return
	}
	if _, err := io.Copy(io.Discard, br); err != nil {
		j.tailErr = err
		return
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != j.pkg.SHA256 {
		j.tailErr = fmt.Errorf("the file %s is not the one in the list: its SHA256 is %s, not %s", filepath.Base(j.path), got, j.pkg.SHA256)
	}
}

func (j *openedDeb) send(ctx context.Context) error {
	stream := j.deb.DataStream()
	var total int64
	for {
		block := make([]byte, blockSize)
		n := 0
		var err error
		for n < blockSize && err == nil {
			var m int
			m, err = stream.Read(block[n:])
			n += m
		}
		if total += int64(n); total > maxPackageBytes {
			return fmt.Errorf("unpacks to more than %d GiB", maxPackageBytes>>30)
		}
		if n > 0 {
			select {
			case j.blocks <- block[:n]:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the data of the package: %w", err)
		}
	}
}

// Read returns the data stream.
func (j *openedDeb) Read(p []byte) (int, error) {
	for len(j.rest) == 0 {
		block, ok := <-j.blocks
		if !ok {
			if j.tailErr != nil {
				return 0, j.tailErr
			}
			return 0, io.EOF
		}
		j.rest = block
	}
	n := copy(p, j.rest)
	j.rest = j.rest[n:]
	return n, nil
}

// install unpacks one package and enters it into the database.
func (w *treeWriter) install(ctx context.Context, j *openedDeb, db *database) error {
	select {
	case <-j.head:
	case <-ctx.Done():
		return ctx.Err()
	}
	if j.err != nil {
		return j.err
	}
	c := j.deb.Control
	if c.Get("Package") != j.pkg.Name || c.Get("Version") != j.pkg.Version || c.Get("Architecture") != j.pkg.Architecture {
		return fmt.Errorf("the file holds %s %s for %s", c.Get("Package"), c.Get("Version"), c.Get("Architecture"))
	}
	rec := db.add(j.deb)
	w.budget = expand.Budget{Data: maxPackageBytes, Packed: j.pkg.Size}
	w.owner = rec
	t := tar.NewReader(j)
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if n >= maxPackageEntries {
			return fmt.Errorf("holds more than %d files", maxPackageEntries)
		}
		if err := w.entry(ctx, h, t, rec); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	// What follows the end of the archive is read for the checksum's sake.
	_, err := io.Copy(io.Discard, j)
	return err
}

// entry unpacks one member of a data archive.
func (w *treeWriter) entry(ctx context.Context, h *tar.Header, r io.Reader, rec *record) error {
	name, err := entryName(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return w.rootDir(h)
	}
	rec.files = append(rec.files, "/"+name)
	if r, err = w.keepExample(name, h, r, rec); err != nil {
		return err
	}
	if w.opts.filter.skips("/"+name, h.Typeflag) {
		return nil
	}
	dir, base, err := w.parent(name)
	if err != nil {
		return err
	}
	real := path.Join(dir.rel, base)
	if h.Typeflag == tar.TypeDir {
		return w.directory(dir, base, real, h)
	}
	fresh, err := w.claim(dir, base, real, h, rec)
	if err != nil || !fresh {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		if err := debian.CheckMember(h); err != nil {
			return err
		}
		return w.file(ctx, dir, base, h, r, rec, "/"+name)
	case tar.TypeSymlink:
		return w.symlink(dir, base, h)
	case tar.TypeLink:
		return w.hardlink(dir, base, h, rec)
	}
	return fmt.Errorf("a package may hold files, directories and links only, not an entry of type %q", h.Typeflag)
}

// entryName returns the name of a member relative to the root of the tree.
func entryName(name string) (string, error) {
	if name == "" || len(name) > 4000 || strings.ContainsAny(name, "\x00\n") {
		return "", errors.New("not a valid name")
	}
	clean := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if clean == "" || clean == "." {
		return ".", nil
	}
	if path.Clean(clean) != clean || strings.HasPrefix(clean, "/") || clean == ".." || strings.HasPrefix(clean, "../") {
		return "", errors.New("not a relative name without \"..\"")
	}
	return clean, nil
}

func (w *treeWriter) file(ctx context.Context, dir *openDir, base string, h *tar.Header, r io.Reader, rec *record, name string) error {
	f, err := dir.root.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	sum := md5.New()
	conffile := rec.isConffile[name]
	if conffile {
		r = io.TeeReader(r, sum)
	}
	if err = w.budget.Copy(ctx, f, 0, r, h.Size, w.buf); err == nil {
		err = f.Truncate(h.Size)
	}
	if err == nil && !w.opts.ignoreOwners {
		err = f.Chown(h.Uid, h.Gid)
	}
	if err == nil {
		err = f.Chmod(h.FileInfo().Mode() & modeBits)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if conffile {
		rec.conffileSum[name] = hex.EncodeToString(sum.Sum(nil))
	}
	when := w.when(h.ModTime)
	return dir.root.Chtimes(base, when, when)
}

func (w *treeWriter) symlink(dir *openDir, base string, h *tar.Header) error {
	if h.Linkname == "" || strings.ContainsAny(h.Linkname, "\x00") || len(h.Linkname) > 4000 {
		return errors.New("not a valid link")
	}
	if err := dir.root.Symlink(h.Linkname, base); err != nil {
		return err
	}
	if !w.opts.ignoreOwners {
		if err := dir.root.Lchown(base, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	return w.tree.Lchtimes(path.Join(dir.rel, base), w.when(h.ModTime))
}

func (w *treeWriter) hardlink(dir *openDir, base string, h *tar.Header, rec *record) error {
	target, err := entryName(h.Linkname)
	if err != nil {
		return fmt.Errorf("the link's target %q is %w", h.Linkname, err)
	}
	from, fromBase, err := w.parent(target)
	if err != nil {
		return err
	}
	old := path.Join(from.rel, fromBase)
	if w.owners[old].rec != rec {
		return fmt.Errorf("a hard link to %q, which is no file of this package", h.Linkname)
	}
	st, err := w.root.Lstat(old)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("a hard link to %q, which is no regular file", h.Linkname)
	}
	return w.root.Link(old, path.Join(dir.rel, base))
}

// claim makes room for a file at a path and reports whether it is to be
// written. Two packages may hold the same file if one replaces the other.
func (w *treeWriter) claim(dir *openDir, base, real string, h *tar.Header, rec *record) (bool, error) {
	st, err := dir.root.Lstat(base)
	mine := owner{rec, rec.files[len(rec.files)-1]}
	if errors.Is(err, fs.ErrNotExist) {
		w.owners[real] = mine
		w.count++
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if h.Typeflag == tar.TypeSymlink && st.Mode()&fs.ModeSymlink != 0 {
		if target, err := dir.root.Readlink(base); err == nil && target == h.Linkname {
			return false, nil // such as /bin, which base-files holds as well
		}
	}
	held := w.owners[real]
	old := held.rec
	switch {
	case st.IsDir():
		return false, errors.New("there is a directory of this name")
	case old == nil:
		return false, errors.New("the tree has a file of this name that belongs to no package")
	case old == rec:
		return false, errors.New("the package holds this file twice")
	case rec.replaces(old):
		old.dropped[held.name] = true
		w.owners[real] = mine
		return true, dir.root.Remove(base)
	case old.replaces(rec):
		rec.files = rec.files[:len(rec.files)-1]
		return false, nil
	}
	return false, fmt.Errorf("package %s holds this file too", old.name)
}

// modeBits are the bits of a mode that a package may set.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// when returns a file's time, bounded by the epoch of the build.
func (w *treeWriter) when(t time.Time) time.Time {
	if w.opts.epoch > 0 && t.Unix() >= w.opts.epoch || t.Unix() < 0 {
		return time.Unix(max(0, w.opts.epoch), 0)
	}
	return t
}

// writeFilter leaves the path patterns to dpkg, for packages to come.
func (w *treeWriter) writeFilter() error {
	text := w.opts.filter.config()
	if text == "" {
		return nil
	}
	if err := w.mkdirAll("etc/dpkg/dpkg.cfg.d"); err != nil {
		return err
	}
	return w.write(filterFile, []byte(text), 0o644)
}

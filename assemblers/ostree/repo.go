package ostree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"

	"github.com/osbuildkit/osbuildkit/internal/ctxio"
)

// Repo is a repository that is being written. Files are compressed by several
// goroutines; all else is for one.
type Repo struct {
	dir string
	g   *errgroup.Group
	ctx context.Context
	// Metadata and Content count the objects, each as often as it is written;
	// Bytes is the size of the files' content.
	Metadata, Content, Bytes int64
	root                     *Dir
	next                     int
}

// Dir is a directory of the tree that is committed.
type Dir struct {
	meta  Meta
	files []*treeFile
	dirs  map[string]*Dir
}

const config = "[core]\nrepo_version=1\nmode=archive-z2\n"

// Create makes an empty repository in the directory dir, which must not exist.
// The root of its commit gets the given owner and mode.
func Create(ctx context.Context, dir string, root Meta) (*Repo, error) {
	for _, d := range []string{"", "objects", "refs", "refs/heads", "refs/remotes", "refs/mirrors", "state", "tmp", "extensions"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	return &Repo{dir: dir, g: g, ctx: ctx, root: &Dir{meta: root, dirs: map[string]*Dir{}}}, nil
}

// Root returns the root of the tree.
func (r *Repo) Root() *Dir { return r.root }

// Dir adds a directory.
func (d *Dir) Dir(name string, meta Meta) (*Dir, error) {
	if err := d.free(name); err != nil {
		return nil, err
	}
	sub := &Dir{meta: meta, dirs: map[string]*Dir{}}
	d.dirs[name] = sub
	return sub, nil
}

// free reports why a name cannot be added.
func (d *Dir) free(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q cannot be a name in a commit", name)
	}
	if d.dirs[name] != nil {
		return fmt.Errorf("%q is added twice", name)
	}
	return nil
}

func (d *Dir) file(name string) (*treeFile, error) {
	if err := d.free(name); err != nil {
		return nil, err
	}
	f := &treeFile{name: name}
	d.files = append(d.files, f)
	return f, nil
}

// Symlink adds a link.
func (r *Repo) Symlink(d *Dir, name, target string, meta Meta) error {
	f, err := d.file(name)
	if err != nil {
		return err
	}
	r.Content++
	f.sum = sha256.Sum256(meta.fileHeader(target))
	return r.write(f.sum, "filez", meta.archiveHeader(0, target))
}

// File adds a regular file and closes it when its size bytes were read.
func (r *Repo) File(d *Dir, name string, meta Meta, content io.ReadCloser, size int64) error {
	f, err := d.file(name)
	if err != nil {
		return errors.Join(err, content.Close())
	}
	if err := r.ctx.Err(); err != nil {
		return errors.Join(context.Cause(r.ctx), content.Close())
	}
	r.Content++
	r.Bytes += size
	r.next++
	tmp := filepath.Join(r.dir, "tmp", fmt.Sprint(r.next))
	r.g.Go(func() error {
		sum, err := writeFile(r.ctx, tmp, meta, content, size)
		if err = errors.Join(err, content.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.sum = sum
		return r.place(tmp, sum, "filez")
	})
	return nil
}

// writeFile writes a file in the form of the repository and returns its
// checksum.
func writeFile(ctx context.Context, tmp string, meta Meta, content io.Reader, size int64) (sum Checksum, err error) {
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := out.Write(meta.archiveHeader(uint64(size), "")); err != nil {
		return sum, err
	}
	h := sha256.New()
	h.Write(meta.fileHeader(""))
	z, err := flate.NewWriter(out, 6)
	if err != nil {
		return sum, err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{z}, struct{ io.Reader }{io.TeeReader(io.LimitReader(ctxio.Reader(ctx, content), size), h)}, make([]byte, 256<<10))
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes less than it had", size-n)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		return sum, err
	}
	return Checksum(h.Sum(nil)), nil
}

// write stores an object.
func (r *Repo) write(sum Checksum, kind string, data []byte) error {
	r.next++
	tmp := filepath.Join(r.dir, "tmp", fmt.Sprint(r.next))
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return r.place(tmp, sum, kind)
}

// place gives an object its name. One that is there already is the same.
func (r *Repo) place(tmp string, sum Checksum, kind string) error {
	name := sum.String()
	dir := filepath.Join(r.dir, "objects", name[:2])
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, name[2:]+"."+kind))
}

// metadata stores an object that is named by the checksum of all of it.
func (r *Repo) metadata(kind string, data []byte) (Checksum, error) {
	r.Metadata++
	sum := Checksum(sha256.Sum256(data))
	return sum, r.write(sum, kind, data)
}

// Commit stores the directories and the commit, and lets its references name
// it. It returns the commit and the checksum of its content: that of the root,
// whatever the commit says about it.
func (r *Repo) Commit(c Commit) (commit, content Checksum, err error) {
	if err := r.g.Wait(); err != nil {
		return commit, content, err
	}
	tree, meta, err := r.directory(r.root)
	if err != nil {
		return commit, content, err
	}
	if commit, err = r.metadata("commit", c.object(tree, meta)); err != nil {
		return commit, content, err
	}
	for _, ref := range c.Refs {
		name := filepath.Join(r.dir, "refs/heads", filepath.FromSlash(ref))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return commit, content, err
		}
		if err := os.WriteFile(name, []byte(commit.String()+"\n"), 0o644); err != nil {
			return commit, content, err
		}
	}
	return commit, sha256.Sum256(append(tree[:], meta[:]...)), nil
}

// Abort waits for files that are being written after an error.
func (r *Repo) Abort() error { return r.g.Wait() }

func (r *Repo) directory(d *Dir) (tree, meta Checksum, err error) {
	var dirs []treeDir
	for name, sub := range d.dirs {
		x := treeDir{name: name}
		if x.tree, x.meta, err = r.directory(sub); err != nil {
			return tree, meta, err
		}
		dirs = append(dirs, x)
	}
	files := make([]treeFile, len(d.files))
	for i, f := range d.files {
		files[i] = *f
	}
	if tree, err = r.metadata("dirtree", dirTree(files, dirs)); err != nil {
		return tree, meta, err
	}
	meta, err = r.metadata("dirmeta", d.meta.dirMeta())
	return tree, meta, err
}

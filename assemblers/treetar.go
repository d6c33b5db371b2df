package assemblers

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

// attributeForms says what of a tree an archive holds, and how.
type attributeForms struct {
	// label and lists give labels and access control lists the records that
	// tar --selinux and tar --acls read.
	label, lists bool
	// xattrs says for each attribute whether it gets the record that
	// tar --xattrs and container engines read. Labels and lists get it only
	// together with their own.
	xattrs func(name string) bool
	// rootNode makes the root of the tree the first entry, and the names
	// begin with "./".
	rootNode bool
	// layer refuses names that mean something else in a layer.
	layer bool
}

// treeTar writes a tree as an archive in the format of POSIX.
type treeTar struct {
	in    *module.Input
	ctx   context.Context // of write
	w     io.Writer       // under tw, for what tw cannot write
	tw    *tar.Writer
	attrs *fileAttributes
	forms attributeForms

	// names holds the first name of each file with several.
	names map[content.ID]string
	buf   []byte

	files, bytes int64
}

func newTreeTar(in *module.Input, w io.Writer, attrs map[string][]content.Attribute, forms attributeForms) *treeTar {
	return &treeTar{
		in: in, w: w, tw: tar.NewWriter(w), attrs: newFileAttributes(in, attrs), forms: forms,
		names: map[content.ID]string{}, buf: make([]byte, 256<<10),
	}
}

// write writes the archive, with its end.
func (t *treeTar) write(ctx context.Context) error {
	if t.in.Epoch == 0 {
		t.in.Logf("warning: no epoch is given, so that times in the archive are the builder's")
	}
	if err := t.attrs.collectAll(ctx); err != nil {
		return err
	}
	t.ctx = ctx
	if err := content.Walk(ctx, t.in.Tree, t.add); err != nil {
		return err
	}
	return t.tw.Close()
}

// add writes one file.
func (t *treeTar) add(e *content.Entry) error {
	if e.Path == "." && !t.forms.rootNode {
		return nil
	}
	if t.forms.layer && strings.HasPrefix(path.Base(e.Path), ".wh.") && e.Path != "." {
		return fmt.Errorf("%q cannot be put into a layer, where a name that begins with .wh. says that a file is removed", e.Path)
	}
	h := &tar.Header{
		Format:  tar.FormatPAX,
		Name:    t.name(e),
		Mode:    int64(e.Stat.Mode & 0o7777),
		Uid:     int(e.Stat.Uid),
		Gid:     int(e.Stat.Gid),
		ModTime: t.time(e),
	}
	switch e.Kind() {
	case unix.S_IFSOCK:
		t.in.Logf("warning: %q is a socket, which an archive cannot hold: left out", e.Path)
		return nil
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, e.Stat.Size
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		var err error
		if h.Linkname, err = e.Readlink(); err != nil {
			return err
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if e.Kind() == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(e.Stat.Rdev)), int64(unix.Minor(e.Stat.Rdev))
	default:
		return fmt.Errorf("%q is of a kind that is not known: mode %#o", e.Path, e.Stat.Mode)
	}
	if e.Shared() {
		if first, ok := t.names[e.ID()]; ok {
			h.Typeflag, h.Linkname, h.Size, h.Devmajor, h.Devminor = tar.TypeLink, first, 0, 0, 0
		} else {
			t.names[e.ID()] = h.Name
		}
	}
	if h.Typeflag != tar.TypeLink {
		var err error
		if h.PAXRecords, err = t.records(e); err != nil {
			return err
		}
	}
	t.files++
	if h.Typeflag == tar.TypeReg && h.Size >= minSparse {
		if done, err := t.addSparse(e, h); done || err != nil {
			return err
		}
	}
	if err := t.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	t.bytes += h.Size
	return e.CopyTo(t.ctx, t.tw, t.buf)
}

func (t *treeTar) name(e *content.Entry) string {
	name := e.Path
	if t.forms.rootNode {
		name = "./" + strings.TrimPrefix(path.Join("/", name), "/")
	}
	if e.Kind() == unix.S_IFDIR && !strings.HasSuffix(name, "/") {
		name += "/"
	}
	return name
}

// time returns the time of a file: whole seconds, not later than the epoch. A
// directory's is the epoch, as a layer does not keep another one reliably.
func (t *treeTar) time(e *content.Entry) time.Time {
	sec := int64(e.Stat.Mtim.Sec)
	if t.in.Epoch != 0 && (sec > t.in.Epoch || e.Kind() == unix.S_IFDIR) {
		sec = t.in.Epoch
	}
	return time.Unix(sec, 0)
}

// records returns the attributes of a file as records of the PAX format.
func (t *treeTar) records(e *content.Entry) (map[string]string, error) {
	records := map[string]string{}
	for _, a := range t.attrs.of(e) {
		value, short, text := a.Value, "", ""
		switch a.Name {
		case ledger.Label:
			if !t.forms.label {
				continue
			}
			short, text = "RHT.security.selinux", strings.TrimRight(string(value), "\x00")
		case ledger.AccessACL, ledger.DefaultACL:
			if !t.forms.lists {
				continue
			}
			var err error
			if value, text, err = tarACL(value, e.Stat.Mode, a.Name == ledger.AccessACL); err != nil {
				return nil, fmt.Errorf("attribute %s of %q: %w", a.Name, e.Path, err)
			}
			if len(value) == 0 {
				continue
			}
			short = "SCHILY.acl." + strings.TrimPrefix(a.Name, "system.posix_acl_")
		case ledger.Capability:
			value = content.PlainCapability(value)
		}
		if short != "" {
			records[short] = text
		}
		if t.forms.xattrs(a.Name) {
			records["SCHILY.xattr."+escapeKeyword.Replace(a.Name)] = string(value)
		}
	}
	return records, nil
}

// escapeKeyword writes the name of an attribute as tar does, as a "=" ends it.
var escapeKeyword = strings.NewReplacer("%", "%25", "=", "%3D")

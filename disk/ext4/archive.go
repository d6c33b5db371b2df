package ext4

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

// archive writes the content as an archive for mke2fs, without attributes,
// which are written afterwards.
func archive(ctx context.Context, c *content.Tree, w io.Writer) error {
	a := archiver{ctx: ctx, c: c, tw: tar.NewWriter(w), written: map[*content.File]string{}, buf: make([]byte, 1<<20)}
	if err := a.directory(c.Root, "."); err != nil {
		return err
	}
	return a.tw.Close()
}

type archiver struct {
	ctx     context.Context
	c       *content.Tree
	tw      *tar.Writer
	written map[*content.File]string // files with several names
	buf     []byte
}

func (a *archiver) directory(d *content.File, name string) error {
	if err := a.header(d, name+"/", tar.TypeDir); err != nil {
		return err
	}
	for _, e := range d.Entries {
		if a.ctx.Err() != nil {
			return context.Cause(a.ctx)
		}
		if err := a.file(e.File, name+"/"+e.Name); err != nil {
			return fmt.Errorf("%q: %w", e.File.Path, err)
		}
	}
	return nil
}

// kinds are the types of an archive's entries.
var kinds = map[uint32]byte{
	unix.S_IFREG: tar.TypeReg, unix.S_IFLNK: tar.TypeSymlink, unix.S_IFIFO: tar.TypeFifo, unix.S_IFCHR: tar.TypeChar, unix.S_IFBLK: tar.TypeBlock,
}

func (a *archiver) file(f *content.File, name string) error {
	if f.Kind() == unix.S_IFDIR {
		return a.directory(f, name)
	}
	if first, ok := a.written[f]; ok {
		return a.tw.WriteHeader(&tar.Header{Format: tar.FormatPAX, Typeflag: tar.TypeLink, Name: name, Linkname: first, ModTime: time.Unix(f.Time, 0)})
	}
	if f.Links > 1 {
		a.written[f] = name
	}
	if err := a.header(f, name, kinds[f.Kind()]); err != nil || f.Kind() != unix.S_IFREG {
		return err
	}
	return a.c.CopyTo(f, a.tw, a.buf)
}

func (a *archiver) header(f *content.File, name string, kind byte) error {
	return a.tw.WriteHeader(&tar.Header{
		Format: tar.FormatPAX, Typeflag: kind, Name: strings.TrimPrefix(name, "./"), Linkname: f.Link, Mode: int64(f.Mode & 0o7777),
		Uid: int(f.UID), Gid: int(f.GID), Size: f.Size, ModTime: time.Unix(f.Time, 0), Devmajor: int64(f.Major), Devminor: int64(f.Minor),
	})
}

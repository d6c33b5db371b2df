package erofs

import (
	"context"
	"errors"
	"fmt"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

const (
	inodeSize = 64
	// attrHeader is the size of what precedes the attributes of an inode.
	attrHeader = 12
	maxAttrs   = 4 * (1<<16 - 2)
	maxName    = 255
	maxLink    = 4095
	chunkIndex = 0x20
	chunkBits  = 4 // of blocks
)

// planInode says what an inode consists of.
func planInode(f *content.File) (*place, error) {
	p := &place{}
	var err error
	if p.attrs, err = attributes(f.Attributes); err != nil {
		return nil, err
	}
	switch f.Kind() {
	case unix.S_IFREG:
		p.size = f.Size
	case unix.S_IFLNK:
		if p.size = int64(len(f.Link)); p.size > maxLink {
			return nil, fmt.Errorf("the link has %d bytes, and EROFS takes %d", p.size, maxLink)
		}
	case unix.S_IFDIR:
		if p.size, err = directorySize(f); err != nil {
			return nil, err
		}
	}
	if f.Kind() == unix.S_IFREG && f.Size >= minChunked {
		p.layout = layoutChunks
		if rest := len(p.attrs) % 8; rest != 0 {
			// The list is aligned; what lies between counts to it.
			p.inside = int64(8 - rest)
		}
		p.inside += (f.Size + chunk - 1) / chunk * 8
		return p, nil
	}
	if tail := p.size % blockSize; tail > 0 && inodeSize+int64(len(p.attrs))+tail <= blockSize {
		p.layout, p.inside = layoutInline, tail
	}
	return p, nil
}

// file writes a file and its inode; parent is the directory above a directory.
func (w *writer) file(ctx context.Context, f, parent *content.File, number uint32) error {
	p := w.places[f]
	var first int64
	var inside []byte
	var err error
	if f.Kind() == unix.S_IFDIR {
		first, inside, err = w.directory(f, parent, p)
	} else {
		first, inside, err = w.data(ctx, f, p)
	}
	if err != nil {
		return err
	}
	b := make([]byte, inodeSize)
	const extended = 1
	le.PutUint16(b, extended|uint16(p.layout)<<1)
	if n := len(p.attrs); n > 0 {
		le.PutUint16(b[2:], uint16((n-attrHeader)/4+1))
	}
	le.PutUint16(b[4:], uint16(f.Mode))
	le.PutUint64(b[8:], uint64(p.size))
	switch f.Kind() {
	case unix.S_IFCHR, unix.S_IFBLK:
		le.PutUint32(b[16:], f.Minor&0xff|f.Major<<8|f.Minor&^0xff<<12)
	case unix.S_IFIFO:
	default:
		le.PutUint32(b[16:], uint32(first))
	}
	if p.layout == layoutChunks {
		w.chunks = true
		le.PutUint32(b[16:], chunkIndex|chunkBits)
		inside = append(make([]byte, p.inside-int64(len(inside))), inside...)
	}
	le.PutUint32(b[20:], number)
	le.PutUint32(b[24:], f.UID)
	le.PutUint32(b[28:], f.GID)
	le.PutUint64(b[32:], uint64(f.Time))
	le.PutUint32(b[44:], f.Links)
	return w.put(p.at, b, p.attrs, inside)
}

// attributes returns attributes as they stand behind an inode. Access control
// lists have the form of the system calls there too.
func attributes(list []content.Attribute) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	b := make([]byte, attrHeader)
	for _, a := range list {
		index, name := a.Short()
		if index == 0 {
			return nil, fmt.Errorf("%s: %w", a.Name, errors.New("EROFS has no such attribute"))
		}
		if len(a.Value) > 1<<16-1 {
			return nil, fmt.Errorf("%s: it has %d bytes, and EROFS takes %d", a.Name, len(a.Value), 1<<16-1)
		}
		b = append(b, byte(len(name)), index)
		b = le.AppendUint16(b, uint16(len(a.Value)))
		b = append(append(b, name...), a.Value...)
		b = append(b, make([]byte, -len(b)&3)...)
	}
	if len(b) > maxAttrs {
		return nil, fmt.Errorf("the extended attributes take %d bytes, and EROFS keeps %d for a file", len(b), maxAttrs)
	}
	return b, nil
}

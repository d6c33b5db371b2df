package btrfs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

const (
	firstInode = 256
	// maxInline is the size of the largest file whose data is in its item.
	maxInline = 2048
	// maxExtent is the size of the largest extent.
	maxExtent = 128 << 20
	// sumsPerItem is how many checksums an item has at the most.
	sumsPerItem = 3900
	// maxLinks is the number of names that a file can have.
	maxLinks = 65535
)

const typeXattr = 8

// dataExtent is a run of data of a file.
type dataExtent struct {
	at, size     uint64
	inode, start uint64
}

// inodeItem returns the item of an inode.
func inodeItem(size, bytes uint64, links, uid, gid, mode uint32, device uint64, sec, changed int64) []byte {
	b := make([]byte, 0, 160)
	for _, v := range []uint64{generation, generation, size, bytes, 0} {
		b = le.AppendUint64(b, v)
	}
	for _, v := range []uint32{links, uid, gid, mode} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint64(b, device)
	b = append(b, make([]byte, 8+8+32)...)
	for _, t := range []int64{sec, changed, sec, sec} {
		b = le.AppendUint32(le.AppendUint64(b, uint64(t)), 0)
	}
	return b
}

// dirItem returns an entry of a directory or an attribute.
func dirItem(to key, kind byte, name string, value []byte) []byte {
	b := to.append(make([]byte, 0, 30+len(name)+len(value)))
	b = le.AppendUint64(b, generation)
	b = le.AppendUint16(b, uint16(len(value)))
	b = le.AppendUint16(b, uint16(len(name)))
	return append(append(append(b, kind), name...), value...)
}

// reference is a name of an inode in a directory.
type reference struct {
	parent, index uint64
	name          string
}

// files makes the items of all files and writes their data.
func (w *writer) files(ctx context.Context) error {
	numbers := map[*content.File]uint64{}
	for i, f := range w.c.Files {
		numbers[f] = firstInode + uint64(i)
	}
	references := map[*content.File][]reference{w.c.Root: {{firstInode, 0, ".."}}}
	for _, d := range w.c.Files {
		for i, e := range d.Entries {
			if len(e.Name) > 255 {
				return fmt.Errorf("the name %q has %d bytes, and Btrfs takes 255", e.Name, len(e.Name))
			}
			references[e.File] = append(references[e.File], reference{numbers[d], uint64(i) + 2, e.Name})
		}
	}
	for _, f := range w.c.Files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := w.file(ctx, f, numbers, references[f]); err != nil {
			return content.At(f, err)
		}
	}
	return nil
}

func (w *writer) file(ctx context.Context, f *content.File, numbers map[*content.File]uint64, references []reference) error {
	number := numbers[f]
	if f.Kind() != unix.S_IFDIR && f.Links > maxLinks {
		return fmt.Errorf("the file has %d names, and Btrfs takes %d", f.Links, maxLinks)
	}
	size, bytes, links := uint64(f.Size), uint64(0), f.Links
	var data []item
	switch f.Kind() {
	case unix.S_IFREG:
		var err error
		if data, bytes, err = w.data(ctx, f, number); err != nil {
			return err
		}
	case unix.S_IFLNK:
		size, bytes = uint64(len(f.Link)), uint64(len(f.Link))
		data = add(nil, number, itemData, 0, inlineData([]byte(f.Link)))
	case unix.S_IFDIR:
		links = 1
		for _, e := range f.Entries {
			size += 2 * uint64(len(e.Name))
		}
	}
	w.fs = add(w.fs, number, itemInode, 0, inodeItem(size, bytes, links, f.UID, f.GID, f.Mode, uint64(f.Major)<<20|uint64(f.Minor), f.Time, max(f.Time, w.to.Epoch)))
	if err := w.names(number, references); err != nil {
		return err
	}
	if err := w.attributes(number, f.Attributes); err != nil {
		return err
	}
	if err := w.entries(number, f.Entries, numbers); err != nil {
		return err
	}
	w.fs = append(w.fs, data...)
	return nil
}

// names adds the items that lead from an inode to its names. There is one for
// each directory, and what has no room in it goes into items of its own, as with
// the kernel.
func (w *writer) names(number uint64, references []reference) error {
	byParent, byHash := map[uint64][]byte{}, map[uint32][]byte{}
	for _, r := range references {
		if have := byParent[r.parent]; len(have)+10+len(r.name) <= maxItem {
			have = le.AppendUint16(le.AppendUint64(have, r.index), uint16(len(r.name)))
			byParent[r.parent] = append(have, r.name...)
			continue
		}
		h := hashReference(r.parent, r.name)
		b := le.AppendUint64(le.AppendUint64(byHash[h], r.parent), r.index)
		b = le.AppendUint16(b, uint16(len(r.name)))
		if byHash[h] = append(b, r.name...); len(byHash[h]) > maxItem {
			return errors.New("the file has too many names with one hash for Btrfs")
		}
	}
	for _, parent := range slices.Sorted(maps.Keys(byParent)) {
		w.fs = add(w.fs, number, itemInodeRef, parent, byParent[parent])
	}
	for _, h := range slices.Sorted(maps.Keys(byHash)) {
		w.fs = add(w.fs, number, itemLongRef, uint64(h), byHash[h])
	}
	return nil
}

// attributes adds the extended attributes of an inode.
func (w *writer) attributes(number uint64, list []content.Attribute) error {
	byHash := map[uint32][]byte{}
	for _, a := range list {
		if len(a.Name) > 255 {
			return fmt.Errorf("the name of the attribute %s is longer than 255 bytes", a.Name)
		}
		h := hashName(a.Name)
		if byHash[h] = append(byHash[h], dirItem(key{}, typeXattr, a.Name, a.Value)...); len(byHash[h]) > maxItem {
			return fmt.Errorf("the attribute %s has %d bytes, and Btrfs takes about %d", a.Name, len(a.Value), maxItem)
		}
	}
	for _, h := range slices.Sorted(maps.Keys(byHash)) {
		w.fs = add(w.fs, number, itemXattr, uint64(h), byHash[h])
	}
	return nil
}

// entries adds what is in a directory: by hash, and by index.
func (w *writer) entries(number uint64, list []content.Name, numbers map[*content.File]uint64) error {
	byHash := map[uint32][]byte{}
	var index []item
	for i, e := range list {
		d := dirItem(key{numbers[e.File], itemInode, 0}, e.File.TypeCode(), e.Name, nil)
		h := hashName(e.Name)
		if byHash[h] = append(byHash[h], d...); len(byHash[h]) > maxItem {
			return fmt.Errorf("the directory has too many names with the hash of %q for Btrfs", e.Name)
		}
		index = add(index, number, itemDirIndex, uint64(i)+2, d)
	}
	for _, h := range slices.Sorted(maps.Keys(byHash)) {
		w.fs = add(w.fs, number, itemDirItem, uint64(h), byHash[h])
	}
	w.fs = append(w.fs, index...)
	return nil
}

// inlineData returns the item of data that is in it.
func inlineData(data []byte) []byte {
	b := le.AppendUint64(le.AppendUint64(nil, generation), uint64(len(data)))
	return append(append(b, 0, 0, 0, 0, 0), data...)
}

// data writes the data of a regular file and returns the items about it.
func (w *writer) data(ctx context.Context, f *content.File, number uint64) (items []item, bytes uint64, err error) {
	if f.Size > 0 && f.Size <= maxInline {
		inline := make([]byte, 0, f.Size)
		if err := w.c.CopyTo(f, &sliceWriter{&inline}, w.buf); err != nil {
			return nil, 0, err
		}
		return add(nil, number, itemData, 0, inlineData(inline)), uint64(f.Size), nil
	}
	var list []dataExtent
	err = w.c.Data(ctx, f, w.buf, func(off int64, data []byte) error {
		for len(data) > 0 {
			at, n, err := w.take(int64(len(data)+sectorSize-1) &^ (sectorSize - 1))
			if err != nil {
				return err
			}
			part := data[:min(int64(len(data)), n)]
			if err := w.writeData(at, part); err != nil {
				return err
			}
			x := dataExtent{uint64(at), uint64(n), number, uint64(off)}
			if i := len(list) - 1; i >= 0 && list[i].at+list[i].size == x.at && list[i].start+list[i].size == x.start && list[i].size+x.size <= maxExtent && !w.chunkStart(x.at) {
				list[i].size += x.size
			} else {
				list = append(list, x)
			}
			off += int64(len(part))
			data = data[len(part):]
		}
		return nil
	})
	for _, x := range list {
		b := le.AppendUint64(le.AppendUint64(nil, generation), x.size)
		b = append(b, 0, 0, 0, 0, 1)
		for _, v := range []uint64{x.at, x.size, 0, x.size} {
			b = le.AppendUint64(b, v)
		}
		items = add(items, number, itemData, x.start, b)
		bytes += x.size
	}
	w.extents = append(w.extents, list...)
	return items, bytes, err
}

// sliceWriter appends to a slice.
type sliceWriter struct{ b *[]byte }

func (s *sliceWriter) Write(p []byte) (int, error) {
	*s.b = append(*s.b, p...)
	return len(p), nil
}

// writeData writes data and notes the checksums of its sectors.
func (w *writer) writeData(at int64, data []byte) error {
	data = content.Whole(data, sectorSize)
	if _, err := w.to.Disk.WriteAt(data, w.to.Offset+at); err != nil {
		return err
	}
	for i := 0; i < len(data); i += sectorSize {
		w.sum(uint64(at)+uint64(i), crc32.Checksum(data[i:i+sectorSize], castagnoli))
	}
	return nil
}

// sum adds a checksum, to the last item where it follows.
func (w *writer) sum(at uint64, sum uint32) {
	const object = ^uint64(9) // -10
	if i := len(w.sums) - 1; i >= 0 {
		last := &w.sums[i]
		if n := len(last.data) / 4; n < sumsPerItem && last.offset+uint64(n)*sectorSize == at {
			last.data = le.AppendUint32(last.data, sum)
			return
		}
	}
	w.sums = add(w.sums, object, itemSums, at, le.AppendUint32(nil, sum))
}

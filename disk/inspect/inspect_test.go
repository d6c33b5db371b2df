package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// program makes a program in the PE format with the given sections.
func program(machine uint16, text string, sections ...string) []byte {
	b := make([]byte, 0x40+24+16+40*len(sections))
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[0x44:], machine)
	binary.LittleEndian.PutUint16(b[0x46:], uint16(len(sections)))
	binary.LittleEndian.PutUint16(b[0x54:], 16)
	for i, s := range sections {
		copy(b[0x40+24+16+40*i:], s)
	}
	return append(b, text...)
}

// oneFile is a file system with one file.
type oneFile struct{ data []byte }

func (oneFile) Root() uint64                           { return 0 }
func (oneFile) Node(uint64) (*fsread.Node, error)      { return nil, errors.New("not asked for") }
func (oneFile) ReadDir(uint64) ([]fsread.Entry, error) { return nil, errors.New("not asked for") }
func (o oneFile) Open(uint64) (sparse.Source, int64, error) {
	return whole{bytes.NewReader(o.data)}, int64(len(o.data)), nil
}

// whole is a source without holes.
type whole struct{ *bytes.Reader }

func (w whole) Next(off int64) (int64, int64, error) {
	if off >= w.Size() {
		return 0, 0, io.EOF
	}
	return off, w.Size(), nil
}

func TestEFILoader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		data []byte
		want string // name and architecture
	}{
		{program(0x8664, "", ".text", "mods"), "GRUB amd64"},
		{program(0xaa64, "", ".text", "mods"), "GRUB arm64"},
		{program(0x8664, "#### LoaderInfo: systemd-boot 257 ####", ".text"), "systemd-boot amd64"},
		{program(0x8664, "#### LoaderInfo: systemd-stub ####", ".osrel", ".linux", ".initrd"), "unified kernel image amd64"},
		{program(0x8664, "UEFI SHIM\n$Version: 15.8 $", ".text"), "shim amd64"},
		{program(0x1234, "", ".text"), "unknown program "},
		{program(0x8664, "", "mods")[:0x50], ""},
		{[]byte("#!/bin/sh\n"), ""},
		{nil, ""},
	} {
		l, err := efiLoader(nil, oneFile{c.data}, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if l != nil {
			got = l.Name + " " + l.Architecture
		}
		if got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func FuzzEFILoader(f *testing.F) {
	f.Add(program(0x8664, "text", ".text", "mods"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, _ := efiLoader(nil, oneFile{data}, 1); l != nil && l.Firmware != "uefi" {
			t.Errorf("%+v", l)
		}
	})
}

// TestDamagedDisk opens disks whose tables lie.
func TestDamagedDisk(t *testing.T) {
	t.Parallel()
	d := make([]byte, 1<<20)
	d[510], d[511] = 0x55, 0xaa
	copy(d[180:], "GRUB ")
	entry := d[446:]
	entry[4] = 0x83
	binary.LittleEndian.PutUint32(entry[8:], 2047)
	binary.LittleEndian.PutUint32(entry[12:], 0xffffffff)
	copy(entry[16:], entry[:16])
	binary.LittleEndian.PutUint32(entry[24:], 0xfffffff0)
	got, err := Open(nil, whole{bytes.NewReader(d)}, int64(len(d)))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Volumes) != 1 || got.Volumes[0].Partition.Size != 512 || !strings.Contains(strings.Join(got.Table.Problems, ""), "ends behind the disk") {
		t.Errorf("%+v, %v", got.Volumes, got.Table.Problems)
	}
	if l, _ := got.Loaders(); len(l) != 1 || l[0].Name != "GRUB" || l[0].Firmware != "bios" {
		t.Errorf("%+v", l)
	}
	if _, err := got.Tree(); err == nil || !strings.Contains(err.Error(), "can be read here") {
		t.Errorf("error %v", err)
	}
}

// TestCutOffUnread opens what is not read here: that a part of it is missing is
// known from its superblock, and is no other word for that it is not read.
func TestCutOffUnread(t *testing.T) {
	t.Parallel()
	const size, wants = 1 << 20, 2 << 20
	le, be := binary.LittleEndian, binary.BigEndian
	for _, c := range []struct {
		name, magic string
		at          int
		fill        func(b []byte, size uint64)
	}{
		{"xfs", "XFSB", 0, func(b []byte, size uint64) { be.PutUint32(b[4:], 4096); be.PutUint64(b[8:], size/4096) }},
		{"btrfs", "_BHRfS_M", 65600, func(b []byte, size uint64) { le.PutUint64(b[65536+112:], size); le.PutUint64(b[65536+136:], 1) }},
		{"erofs", "\xe2\xe1\xf5\xe0", 1024, func(b []byte, size uint64) { b[1024+12] = 12; le.PutUint32(b[1024+36:], uint32(size>>12)) }},
		{"squashfs", "hsqs", 0, func(b []byte, size uint64) { le.PutUint64(b[40:], size) }},
		{"swap", "SWAPSPACE2", 4086, func(b []byte, size uint64) { le.PutUint32(b[1024+4:], uint32(size/4096-1)) }},
	} {
		for has, want := range map[uint64]string{
			size:  "",
			wants: "partition 0: its " + c.name + " has 2097152 bytes and lies in 1048576: it is cut off",
		} {
			data := make([]byte, size)
			copy(data[c.at:], c.magic)
			c.fill(data, has)
			d, err := Open(nil, whole{bytes.NewReader(data)}, size)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Volumes[0].Problem(); got != want || d.Volumes[0].Info.Type != c.name {
				t.Errorf("%s of %d bytes: %q, want %q", d.Volumes[0].Info.Type, has, got, want)
			}
		}
	}
	// The size of one on several disks is that of all of them.
	data := make([]byte, size)
	copy(data[65600:], "_BHRfS_M")
	le.PutUint64(data[65536+112:], wants)
	le.PutUint64(data[65536+136:], 2)
	d, err := Open(nil, whole{bytes.NewReader(data)}, size)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Volumes[0].Problem(); got != "" {
		t.Errorf("a part of a btrfs: %q", got)
	}
}

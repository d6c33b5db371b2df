package fsread

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
)

// Info is what the superblock of a file system says.
type Info struct {
	// Type is the name that mount(8) has for the file system, or that blkid(8)
	// has for other content, such as swap, crypto_LUKS or LVM2_member. It is
	// empty if nothing is known.
	Type string
	// Label and UUID may be empty. The label of a physical volume of LVM is the
	// name of its group.
	Label, UUID string
	// Size is the size of the file system and Free what is free of it, in
	// bytes; -1 is not known.
	Size, Free int64
}

// superblock is one kind of content.
type superblock struct {
	at    int
	magic string
	read  func(b []byte, i *Info) // b starts at the beginning of the disk
}

// probeSize is how much of a disk is looked at.
const probeSize = 68 << 10

var superblocks = []superblock{
	{0, "LUKS\xba\xbe", probeLUKS},
	{0, "XFSB", probeXFS},
	{65600, "_BHRfS_M", probeBtrfs},
	{0, "hsqs", func(b []byte, i *Info) { i.Type, i.Size, i.Free = "squashfs", number(le.Uint64(b[40:])), 0 }},
	{1024, "\xe2\xe1\xf5\xe0", probeErofs},
	{4086, "SWAPSPACE2", probeSwap},
	{32769, "CD001", func(b []byte, i *Info) { i.Type, i.Label = "iso9660", text(b[32808:32840]) }},
	{0, "verity\x00\x00", func(b []byte, i *Info) { i.Type, i.UUID = "DM_verity_hash", uuid(b[16:]) }},
	{512, "LABELONE", probeLVM},
	{1080, "\x53\xef", probeExt},
}

// Probe tells what is at the start of r, which has size bytes.
func Probe(r io.ReaderAt, size int64) (*Info, error) {
	b := make([]byte, probeSize)
	n, err := r.ReadAt(b[:min(size, probeSize)], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	clear(b[n:])
	i := &Info{Size: -1, Free: -1}
	for _, s := range superblocks {
		if string(b[s.at:s.at+len(s.magic)]) == s.magic {
			s.read(b, i)
			return i, nil
		}
	}
	if g, err := fatGeometry(b); err == nil {
		i.Type, i.Label, i.UUID, i.Size = "vfat", g.label, g.id, g.total*g.sector
	}
	return i, nil
}

// number makes sure that what a superblock says can be calculated with.
func number(v uint64) int64 {
	if v > 1<<60 {
		return -1
	}
	return int64(v)
}

func product(a uint64, b uint64) int64 {
	if a > 1<<40 || b > 1<<20 {
		return -1
	}
	return int64(a * b)
}

// text is a name up to its first zero, without spaces around it.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.ToValidUTF8(strings.TrimSpace(s), "?")
}

func uuid(b []byte) string {
	u := disk.UUID(b[:16])
	if u == (disk.UUID{}) {
		return ""
	}
	return u.String()
}

func probeExt(b []byte, i *Info) {
	sb := b[1024:2048]
	const hasJournal, extents, is64Bit, metadataCsum = 0x4, 0x40, 0x80, 0x400
	i.Type = "ext2"
	if le.Uint32(sb[0x5c:])&hasJournal != 0 {
		i.Type = "ext3"
	}
	if le.Uint32(sb[0x60:])&(extents|is64Bit) != 0 || le.Uint32(sb[0x64:])&metadataCsum != 0 {
		i.Type = "ext4"
	}
	i.Label, i.UUID = text(sb[0x78:0x88]), uuid(sb[0x68:])
	blocks, free := uint64(le.Uint32(sb[4:])), uint64(le.Uint32(sb[0xc:]))
	if le.Uint32(sb[0x60:])&is64Bit != 0 {
		blocks |= uint64(le.Uint32(sb[0x150:])) << 32
		free |= uint64(le.Uint32(sb[0x158:])) << 32
	}
	if shift := le.Uint32(sb[0x18:]); shift <= 6 {
		i.Size, i.Free = product(blocks, 1024<<shift), product(free, 1024<<shift)
	}
}

func probeXFS(b []byte, i *Info) {
	i.Type, i.UUID, i.Label = "xfs", uuid(b[32:]), text(b[108:120])
	block := uint64(be.Uint32(b[4:]))
	i.Size, i.Free = product(be.Uint64(b[8:]), block), product(be.Uint64(b[144:]), block)
}

func probeBtrfs(b []byte, i *Info) {
	sb := b[65536:]
	i.Type, i.UUID, i.Label = "btrfs", uuid(sb[32:]), text(sb[299:299+256])
	// Of one on several disks this is the size of all of them.
	if devices := le.Uint64(sb[136:]); devices > 1 {
		return
	}
	i.Size = number(le.Uint64(sb[112:]))
	if used := number(le.Uint64(sb[120:])); i.Size >= 0 && used >= 0 {
		i.Free = max(0, i.Size-used)
	}
}

func probeErofs(b []byte, i *Info) {
	sb := b[1024:]
	i.Type, i.UUID, i.Label, i.Free = "erofs", uuid(sb[48:]), text(sb[64:80]), 0
	if shift := sb[12]; shift <= 16 {
		i.Size = product(uint64(le.Uint32(sb[36:])), 1<<shift)
	}
}

func probeSwap(b []byte, i *Info) {
	i.Type, i.UUID, i.Label = "swap", uuid(b[1024+12:]), text(b[1024+28:1024+44])
	i.Size = product(uint64(le.Uint32(b[1024+4:]))+1, 4096)
}

func probeLUKS(b []byte, i *Info) {
	i.Type, i.UUID = "crypto_LUKS", text(b[168:208])
	if be.Uint16(b[6:]) == 2 {
		i.Label = text(b[24:72])
	}
}

func probeLVM(b []byte, i *Info) {
	i.Type = "LVM2_member"
	if id := text(b[512+32 : 512+64]); len(id) == 32 {
		i.UUID = fmt.Sprintf("%s-%s-%s-%s-%s-%s-%s", id[:6], id[6:10], id[10:14], id[14:18], id[18:22], id[22:26], id[26:])
	}
	// The metadata starts with the name of the group. Its place is in the header
	// of the area, where LVM has it unless it was told otherwise.
	const area = 4096
	if at := le.Uint64(b[area+40:]); string(b[area+4:area+10]) == " LVM2 " && at < uint64(len(b)-area-128) {
		if name, _, ok := strings.Cut(text(b[area+at:][:128]), " {"); ok && strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0 {
			i.Label = name
		}
	}
}

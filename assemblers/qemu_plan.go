package assemblers

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/gpt"
	"github.com/osbuildkit/osbuildkit/disk/grub"
	"github.com/osbuildkit/osbuildkit/disk/mbr"
	"github.com/osbuildkit/osbuildkit/disk/vfat"
	"github.com/osbuildkit/osbuildkit/module"
)

// Where things are on the disk, in sectors.
const (
	coreStart = 1    // GRUB's core image follows the partition table
	alignment = 2048 // partitions start at whole MiB, as everybody's do

	maxDisk = 1 << 46 // in bytes
)

// table is a partition table.
type table interface {
	Check(sectors uint64) error
	Write(w io.WriterAt, sectors uint64) error
}

// partition is a partition, wherever its place and its type came from.
type partition struct {
	start, sectors uint64
	gptType        disk.UUID
	mbrType        byte
	id             disk.UUID
	name           string
	fs             *filesystem
	layers
}

func (p *partition) end() uint64 { return p.start + p.sectors }

// qemuPlan is what the options mean.
type qemuPlan struct {
	options     QemuOptions
	problems    []module.Problem
	gpt         bool
	id          disk.UUID // that of the disk, from which others are derived
	signature   uint32
	partitions  []partition
	filesystems []*filesystem
	table       table
	platforms   []string
	// hashes are the partitions with hash trees. They come after the others, so
	// that these keep their numbers.
	hashes []*hashPartition
	// notes are warnings for the log.
	notes []string
}

// sectors returns the number of sectors of the disk.
func (p *qemuPlan) sectors() uint64 { return uint64(p.options.Size.Bytes) / disk.SectorSize }

// imageID is what further identifiers of an image file are derived from: that of
// the file system in the short form, which has always been it.
func (p *qemuPlan) imageID() disk.UUID {
	if len(p.options.Partitions) == 0 {
		return p.filesystems[0].uuid
	}
	return p.id
}

func (p *qemuPlan) problem(pointer string, err error) {
	if err != nil {
		p.problems = append(p.problems, module.Problem{Pointer: pointer, Message: err.Error()})
	}
}

// plan works out where everything goes.
func (p *qemuPlan) plan() {
	o := &p.options
	switch o.PTType {
	case "", "dos", "mbr":
	case "gpt":
		p.gpt = true
	default:
		p.problem("/pttype", fmt.Errorf("the kind of partition table %q is not supported: use dos, mbr or gpt", o.PTType))
	}
	p.identify()
	unknown := o.Size.Follows && o.Size.Bytes == 0
	if unknown {
		// It is known when the content is; until then all has place.
		o.Size.Bytes = p.largest()
	} else if sizeErr := p.checkSize(); sizeErr != nil {
		p.problem("/size", sizeErr)
		// Without a size nothing has a place, but the rest can be checked.
		o.Size.Bytes = 1 << 40
	}
	before := len(p.problems)
	if len(o.Partitions) == 0 {
		p.short()
	} else {
		p.long()
	}
	p.checkMountpoints()
	p.checkUnique()
	p.checkBootloader()
	if unknown && !p.grows() && len(p.problems) == before {
		p.problem("/size", errors.New("no file system with content takes what is free on the disk, so none follows from its content: leave out the size of the last partition, or give that of the disk"))
	}
	if len(p.problems) > before {
		return
	}
	p.makeTable()
	if err := p.table.Check(p.sectors()); err != nil && len(o.Partitions) > 0 {
		p.problem("/partitions", err)
	}
}

// identify finds the identifier of the disk.
func (p *qemuPlan) identify() {
	o := &p.options
	var err error
	switch {
	case o.PTUUID == "":
		text, jsonErr := json.Marshal(o)
		err = jsonErr
		p.id = disk.Namespace.Derive(string(text))
		p.signature = uint32(p.id[0])<<24 | uint32(p.id[1])<<16 | uint32(p.id[2])<<8 | uint32(p.id[3])
	case p.gpt:
		if p.id, err = disk.ParseUUID(o.PTUUID); err != nil {
			err = fmt.Errorf("%w; that is what a disk with a GPT has", err)
		}
	default:
		if id, uuidErr := disk.ParseUUID(o.PTUUID); uuidErr == nil {
			// sfdisk reads hexadecimal digits up to the first dash.
			p.signature = binary.BigEndian.Uint32(id[:4])
			p.notes = append(p.notes, fmt.Sprintf("the identifier of a disk with a DOS partition table has 32 bits: it is %#08x, the beginning of %s, as with sfdisk", p.signature, id))
		} else {
			p.signature, err = mbr.ParseSignature(o.PTUUID)
		}
		p.id = disk.Namespace.Derive(fmt.Sprintf("%#08x", p.signature))
	}
	p.problem("/ptuuid", err)
}

// largest is the size in bytes of the largest disk that the table is for, up to a
// bound that is not reached.
func (p *qemuPlan) largest() int64 {
	if p.gpt {
		return maxDisk
	}
	return mbr.MaxSectors * disk.SectorSize / mebibyte * mebibyte
}

// grows says whether a file system takes what is free at the end of the disk, which
// is as large as it can be.
func (p *qemuPlan) grows() bool {
	f := growing(p.filesystems)
	return f != nil && f.size > p.largest()/2
}

// checkSize reports why a disk cannot have the given number of bytes.
func (p *qemuPlan) checkSize() error {
	size := p.options.Size.Bytes
	smallest := int64(alignment*disk.SectorSize) + filesystemKinds["ext4"].minSize
	if len(p.options.Partitions) > 0 {
		smallest = 2 << 20
	}
	switch {
	case size%disk.SectorSize != 0:
		return sectorsError(size)
	case size < smallest:
		return fmt.Errorf("a disk of %d bytes is too small: it must have at least %d", size, smallest)
	case !p.gpt && size/disk.SectorSize > mbr.MaxSectors:
		return fmt.Errorf("a disk of %d bytes is out of the reach of a DOS partition table, which is %d: set pttype to gpt", size, int64(mbr.MaxSectors)*disk.SectorSize)
	case size > maxDisk:
		return fmt.Errorf("a disk of %d bytes is larger than 64 TiB", size)
	}
	return nil
}

// sectorsError is the error for a size that is no whole number of sectors.
func sectorsError(size int64) error {
	return fmt.Errorf("the size %d is not a multiple of %d, the size of a sector: the next is %d", size, disk.SectorSize, (size/disk.SectorSize+1)*disk.SectorSize)
}

// short plans the form with one partition, which takes all of the disk behind
// its first MiB.
func (p *qemuPlan) short() {
	o := &p.options
	kind := o.RootFSType
	if kind == "" {
		kind = "ext4"
	}
	if p.gpt {
		p.problem("/pttype", errors.New("the form with root_fs_uuid has a DOS partition table: give partitions for a GPT"))
	}
	if o.RootFSUUID == "" {
		p.problem("/root_fs_uuid", errors.New(`"" is not a UUID: give root_fs_uuid, or partitions`))
		return
	}
	uuid, problems := checkFilesystem(kind, o.RootFSUUID, "", disk.UUID{})
	p.problem("/root_fs_type", problems["type"])
	p.problem("/root_fs_uuid", problems["uuid"])
	q := partition{start: alignment, sectors: p.sectors() - alignment, mbrType: mbr.TypeLinux, fs: &filesystem{
		kind: kind, uuid: uuid, mountpoint: "/", what: "root file system", sizeOption: "size", sizeValue: o.Size.Bytes, unit: 1,
	}}
	p.place(&q)
	p.partitions = []partition{q}
}

// place gives the file systems of a partition their places in bytes.
func (p *qemuPlan) place(q *partition) {
	offset, size := int64(q.start)*disk.SectorSize, int64(q.sectors)*disk.SectorSize
	for _, f := range q.placeLayers(p, offset, size) {
		if f.sizeOption == "size" {
			f.before = p.options.Size.Bytes - f.size
		}
		p.filesystems = append(p.filesystems, f)
		if k := filesystemKinds[f.kind]; f.size < k.minSize && q.sectors > 0 {
			p.problem(f.pointer(), fmt.Errorf("%s has %d bytes, and %s needs at least %d", f.what, f.size, f.kind, k.minSize))
		}
	}
}

// pointer is that of the option that says how large the file system is.
func (f *filesystem) pointer() string { return "/" + f.sizeOption }

// long plans the form with partitions.
func (p *qemuPlan) long() {
	o := &p.options
	for _, short := range [][2]string{{"/root_fs_uuid", o.RootFSUUID}, {"/root_fs_type", o.RootFSType}} {
		if short[1] != "" {
			p.problem(short[0], errors.New("the root file system is one of the partitions: leave this out, or leave out partitions"))
		}
	}
	end := p.sectors()
	if p.gpt {
		end -= gpt.Reserved
	}
	next := uint64(alignment)
	for i := range o.Partitions {
		q := p.partition(i)
		p.allot(i, &q, next, end)
		next = p.roundPartition(i, &q, end)
		p.place(&q)
		p.partitions = append(p.partitions, q)
	}
	for _, h := range p.hashes {
		p.partitions = append(p.partitions, h.partition)
	}
}

// allot finds the place of a partition: next is the first sector that it gets
// if it does not say where it starts, end the first that no partition may use.
func (p *qemuPlan) allot(i int, q *partition, next, end uint64) {
	o := &p.options.Partitions[i]
	pointer := fmt.Sprintf("/partitions/%d", i)
	if o.Start < 0 || o.Size < 0 {
		p.problem(pointer, errors.New("start and size are numbers of sectors and cannot be negative"))
		return
	}
	if q.start = next; o.Start > 0 {
		q.start = uint64(o.Start)
	}
	if q.sectors = uint64(o.Size); o.Size > 0 {
		if q.start >= end || q.sectors > end-q.start {
			p.problem(pointer+"/size", fmt.Errorf("the partition needs %d sectors from %d on, and the last sector that the disk has for partitions is %d: make it smaller, or the disk larger", q.sectors, q.start, end-1))
		}
		return
	}
	// All that is free up to the next partition that says where it starts.
	for _, r := range p.options.Partitions {
		if r.Start > 0 && uint64(r.Start) > q.start {
			end = min(end, uint64(r.Start))
		}
	}
	if q.start >= end {
		p.problem(pointer, fmt.Errorf("no space is left for the partition: it would start in sector %d, and the last sector that is free there is %d; give the partitions before it a smaller size", q.start, int64(end)-1))
		return
	}
	q.sectors = end - q.start
}

// partition reads what the options say about a partition but for its place.
func (p *qemuPlan) partition(i int) partition {
	o := &p.options.Partitions[i]
	pointer := fmt.Sprintf("/partitions/%d", i)
	q := partition{gptType: gpt.TypeLinux, mbrType: mbr.TypeLinux, id: p.id.Derive(fmt.Sprintf("partition %d", i+1))}
	if fs := o.Filesystem; fs != nil {
		if q.fs = p.newFilesystem(fs, pointer, q.id, fmt.Sprintf("partition %d", i+1), o.Size); q.fs != nil {
			q.gptType, q.mbrType = filesystemKinds[fs.Type].gpt, filesystemKinds[fs.Type].mbr
			if fs.Type == "vfat" && (fs.Mountpoint == "/boot/efi" || fs.Mountpoint == "/efi") {
				q.gptType, q.mbrType = gpt.TypeESP, mbr.TypeESP
			}
		}
	}
	p.addLayers(i, &q)
	var err error
	if o.Type != "" && p.gpt {
		q.gptType, err = gpt.ParseType(o.Type)
	} else if o.Type != "" {
		q.mbrType, err = mbr.ParseType(o.Type)
	}
	p.problem(pointer+"/type", err)
	if o.UUID != "" {
		if q.id, err = disk.ParseUUID(o.UUID); err == nil && !p.gpt {
			err = errors.New("partitions of a DOS partition table have no UUID: leave it out, or set pttype to gpt")
		}
		p.problem(pointer+"/uuid", err)
	}
	if o.Name != "" && !p.gpt {
		p.problem(pointer+"/name", errors.New("partitions of a DOS partition table have no name: leave it out, or set pttype to gpt"))
	}
	// The kernel writes names into lines of its own, such as PARTNAME of a uevent.
	if strings.ContainsFunc(o.Name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		p.problem(pointer+"/name", fmt.Errorf("the name %q holds a control character or invalid UTF-8", o.Name))
	}
	return q
}

// newFilesystem reads what the options say about the file system of a partition
// or a volume, whose size in sectors is given; nil if it is of no known type.
func (p *qemuPlan) newFilesystem(fs *QemuFilesystem, pointer string, id disk.UUID, where string, sectors int64) *filesystem {
	name := "swap"
	if fs.Type != "swap" {
		name = "the file system of " + fs.Mountpoint
	}
	uuid, problems := checkFilesystem(fs.Type, fs.UUID, fs.Label, id.Derive(fs.Type+" "+fs.Mountpoint))
	for _, key := range []string{"type", "uuid", "label"} {
		p.problem(pointer+"/filesystem/"+key, problems[key])
	}
	if problems["type"] != nil {
		return nil
	}
	label := fs.Label
	if fs.Type == "vfat" && len(label) > vfat.MaxLabel {
		label = vfat.CutLabel(label)
		p.notes = append(p.notes, fmt.Sprintf("%s: the label %q has %d bytes and that of vfat can have %d: it is cut to %q, as mkfs.fat did before its version 4.2", where, fs.Label, len(fs.Label), vfat.MaxLabel, label))
	}
	f := &filesystem{kind: fs.Type, uuid: uuid, label: label, mountpoint: fs.Mountpoint, what: fmt.Sprintf("%s (%s)", name, where)}
	f.sizeOption, f.sizeValue, f.unit = pointer[1:]+"/size", sectors, disk.SectorSize
	if sectors == 0 {
		f.sizeOption, f.sizeValue, f.unit = "size", p.options.Size.Bytes, 1
	}
	return f
}

// checkMountpoints reports mount points that are missing, there twice or no
// paths, and a disk without a root.
func (p *qemuPlan) checkMountpoints() {
	seen := map[string]int{}
	for _, o := range p.options.filesystems() {
		fs, i := o.QemuFilesystem, o.partition
		pointer := o.pointer + "/filesystem/mountpoint"
		m := fs.Mountpoint
		switch {
		case fs.Type == "swap":
			if m != "" {
				p.problem(pointer, errors.New("swap is not mounted: leave it out"))
			}
			continue
		case m == "":
			p.problem(pointer, errors.New("the file system has no mount point: say which directory of the tree it holds"))
			continue
		case !strings.HasPrefix(m, "/") || path.Clean(m) != m || strings.ContainsFunc(m, func(r rune) bool { return r < ' ' || r == 0x7f }):
			p.problem(pointer, fmt.Errorf("%q is not an absolute path without \".\", \"..\" or a slash at its end", m))
			continue
		}
		if j, ok := seen[m]; ok {
			p.problem(pointer, fmt.Errorf("%s is the mount point of partition %d already", m, j+1))
		}
		seen[m] = i
	}
	if _, ok := seen["/"]; !ok && len(p.options.Partitions) > 0 {
		p.problem("/partitions", errors.New("no file system has the mount point /, so that the tree would be left out: give one"))
	}
}

// holder returns the file system that holds a path of the tree, and the path as
// seen from its root.
func (p *qemuPlan) holder(name string) (*filesystem, string) {
	var best *filesystem
	for _, f := range p.filesystems {
		inside := f.mountpoint == "/" || name == f.mountpoint || strings.HasPrefix(name, f.mountpoint+"/")
		if f.mountpoint != "" && inside && (best == nil || len(f.mountpoint) > len(best.mountpoint)) {
			best = f
		}
	}
	if best == nil {
		return nil, ""
	}
	return best, path.Join("/", strings.TrimPrefix(name, best.mountpoint))
}

// find returns the first partition with a type, nil if there is none.
func (p *qemuPlan) find(gptType disk.UUID, mbrType byte) *partition {
	i := slices.IndexFunc(p.partitions, func(q partition) bool {
		return p.gpt && q.gptType == gptType || !p.gpt && mbrType != 0 && q.mbrType == mbrType
	})
	if i < 0 {
		return nil
	}
	return &p.partitions[i]
}

// checkBootloader reports a boot loader that has no place.
func (p *qemuPlan) checkBootloader() {
	b := p.options.Bootloader
	if b == nil {
		return
	}
	if isUnified(b.Type) {
		p.checkUnified(b)
		return
	}
	if b.Type != "grub2" {
		p.problem("/bootloader/type", errors.New("zipl writes lists of blocks through a device, which there is none here: use grub2, uki or systemd-boot"))
		return
	}
	if b.KernelOpts != "" {
		p.problem("/bootloader/kernel_opts", errors.New("the kernel options of GRUB are in its configuration: give them to org.osbuild.grub2"))
	}
	p.problem("/bootloader", p.checkBootLayer("/boot"))
	if p.platforms = b.Platform; len(p.platforms) == 0 {
		p.platforms = []string{grub.BIOS}
	}
	for _, name := range p.platforms {
		var err error
		switch {
		case !slices.Contains(grub.Platforms(), name):
			err = fmt.Errorf("the platform %q is not supported: use %s", name, strings.Join(grub.Platforms(), ", "))
		case grub.EFIProgram(name) != "":
			if p.esp() == nil {
				err = fmt.Errorf("GRUB for %s lies on an EFI system partition: add a partition of the type C12A7328-F81F-11D2-BA4B-00A0C93EC93B (ef with a DOS partition table) with a file system vfat, mounted on /boot/efi", name)
			}
		case name == grub.OpenFirm:
			if p.find(gpt.TypePReP, mbr.TypePReP) == nil {
				err = fmt.Errorf("GRUB for %s needs a partition of the type 9E1A2D38-C612-4316-AA26-8B49521E5A8B (41 with a DOS partition table) without a file system", name)
			}
		case p.gpt && p.find(gpt.TypeBIOSBoot, 0) == nil:
			err = fmt.Errorf("GRUB for %s needs a partition of the type 21686148-6449-6E6F-744E-656564454649 on a disk with a GPT, of 2048 sectors and without a file system", name)
		}
		p.problem("/bootloader/platform", err)
	}
}

// esp returns the EFI system partition with its file system.
func (p *qemuPlan) esp() *partition {
	q := p.find(gpt.TypeESP, mbr.TypeESP)
	if q == nil || q.fs == nil || q.fs.kind != "vfat" {
		return nil
	}
	return q
}

func (p *qemuPlan) makeTable() {
	if p.gpt {
		t := &gpt.Table{ID: p.id}
		for i, q := range p.partitions {
			e := gpt.Partition{Start: q.start, Sectors: q.sectors, Type: q.gptType, ID: q.id, Name: q.name}
			if i < len(p.options.Partitions) {
				e.Name, e.Bootable = p.options.Partitions[i].Name, p.options.Partitions[i].Bootable
			}
			t.Partitions = append(t.Partitions, e)
		}
		p.table = t
		return
	}
	t := &mbr.Table{Signature: p.signature}
	for i, q := range p.partitions {
		bootable := len(p.options.Partitions) == 0 || i < len(p.options.Partitions) && p.options.Partitions[i].Bootable
		t.Partitions = append(t.Partitions, mbr.Partition{Start: q.start, Sectors: q.sectors, Type: q.mbrType, Bootable: bootable})
	}
	p.table = t
}

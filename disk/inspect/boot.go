package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/limit"
)

// Loader is a boot loader, or a kernel that firmware starts by itself.
type Loader struct {
	// Firmware is bios or uefi.
	Firmware string `json:"firmware"`
	// Name is what it is, such as GRUB or systemd-boot.
	Name string `json:"name"`
	// Partition is the number of the partition that it is in; 0 is the gap
	// before the first one.
	Partition int `json:"partition"`
	// Path is the file in the EFI system partition.
	Path string `json:"path,omitempty"`
	// Architecture is that of the file, as Go names it.
	Architecture string `json:"architecture,omitempty"`
}

const typeBIOSBoot = "21686148-6449-6e6f-744e-656564454649"

// Loaders finds the boot loaders of a disk. The error says that there may be
// more than were looked at.
func (d *Disk) Loaders() ([]Loader, error) {
	var out []Loader
	if l := d.biosLoader(); l != nil {
		out = append(out, *l)
	}
	if d.Table == nil {
		return out, nil
	}
	for _, v := range d.Volumes {
		if !v.Partition.IsESP() || v.FS == nil {
			continue
		}
		err := fsread.Walk(d.budget, v.FS, func(p *fsread.Place, n *fsread.Node) error {
			if n.Type() != fsread.TypeRegular || !strings.EqualFold(path.Ext(p.Name()), ".efi") {
				return nil
			}
			l, err := efiLoader(d.budget, v.FS, p.Number)
			if l != nil {
				l.Partition, l.Path = v.Partition.Number, p.Path()
				out = append(out, *l)
			}
			return err
		})
		// What else cannot be read is no boot loader.
		if errors.Is(err, limit.ErrExceeded) {
			return out, fmt.Errorf("boot loaders of partition %d: %w", v.Partition.Number, err)
		}
	}
	return out, nil
}

// biosLoader looks at the code in the first sector.
func (d *Disk) biosLoader() *Loader {
	if d.Table == nil || !d.Table.BootCode {
		return nil
	}
	sector := make([]byte, 440)
	if _, err := d.r.ReadAt(sector, 0); err != nil {
		return nil
	}
	l := &Loader{Firmware: "bios", Name: "unknown boot code"}
	for _, known := range []struct{ text, name string }{{"GRUB ", "GRUB"}, {"isolinux", "ISOLINUX"}, {"SYSLINUX", "SYSLINUX"}, {"Missing operating system", "SYSLINUX"}} {
		if bytes.Contains(sector, []byte(known.text)) {
			l.Name = known.name
			break
		}
	}
	if l.Name == "GRUB" {
		// GRUB's first sector says where the rest is.
		at := int64(binary.LittleEndian.Uint64(sector[0x5c:]))
		for _, v := range d.Volumes {
			if v.Partition.Type == typeBIOSBoot && at >= v.Partition.Start/512 && at < (v.Partition.Start+v.Partition.Size)/512 {
				l.Partition = v.Partition.Number
			}
		}
	}
	return l
}

// Sizes of what is read of a program: its sections are listed in its first KiB,
// and what has a text that tells it is small.
const (
	programHead = 64 << 10
	programText = 8 << 20
)

// efiLoader tells what a program for UEFI is by its sections and texts. The
// error says that no more may be read.
func efiLoader(b *limit.Budget, f fsread.FS, number uint64) (*Loader, error) {
	if err := b.Loader(); err != nil {
		return nil, err
	}
	src, size, err := f.Open(number)
	if err != nil {
		return nil, nil // it is no boot loader
	}
	read := func(n int64) ([]byte, error) {
		data := make([]byte, min(n, size))
		if err := b.LoaderBytes(int64(len(data))); err != nil {
			return nil, err
		}
		n2, _ := src.ReadAt(data, 0)
		return data[:n2], nil
	}
	data, err := read(programHead)
	if err != nil {
		return nil, err
	}
	machine, sections := peSections(data)
	if sections == nil {
		return nil, nil
	}
	l := &Loader{Firmware: "uefi", Name: "unknown program", Architecture: map[uint16]string{0x8664: "amd64", 0xaa64: "arm64", 0x14c: "386", 0x5064: "riscv64"}[machine]}
	has := func(text string) bool { return bytes.Contains(data, []byte(text)) }
	if !sections[".linux"] {
		if data, err = read(programText); err != nil {
			return l, err
		}
	}
	switch {
	case sections[".linux"]:
		l.Name = "unified kernel image"
	case has("#### LoaderInfo: systemd-boot"):
		l.Name = "systemd-boot"
	case sections["mods"]:
		l.Name = "GRUB"
	case has("UEFI SHIM"):
		l.Name = "shim"
	case has("MokManager") || has("M\x00o\x00k\x00M\x00a\x00n\x00a\x00g"):
		l.Name = "MokManager"
	}
	return l, nil
}

// peSections returns the machine and the names of the sections of a program in
// the PE format.
func peSections(data []byte) (machine uint16, sections map[string]bool) {
	le := binary.LittleEndian
	if len(data) < 0x40 || data[0] != 'M' || data[1] != 'Z' {
		return 0, nil
	}
	at := int64(le.Uint32(data[0x3c:]))
	if at+24 > int64(len(data)) || string(data[at:at+4]) != "PE\x00\x00" {
		return 0, nil
	}
	machine = le.Uint16(data[at+4:])
	count, optional := int64(le.Uint16(data[at+6:])), int64(le.Uint16(data[at+20:]))
	sections = map[string]bool{}
	for i := range count {
		s := at + 24 + optional + 40*i
		if s+40 > int64(len(data)) {
			break
		}
		name, _, _ := strings.Cut(string(data[s:s+8]), "\x00")
		sections[name] = true
	}
	return machine, sections
}

// Architecture is the one of the disk's system, as Go names it, if the table or
// a boot loader says so; else it is empty.
func (d *Disk) Architecture() string {
	if d.Table == nil {
		return ""
	}
	if a := d.Table.Architecture(); a != "" {
		return a
	}
	loaders, _ := d.Loaders()
	for _, l := range loaders {
		if l.Architecture != "" {
			return l.Architecture
		}
	}
	return ""
}

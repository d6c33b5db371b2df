package inspect

import (
	"bytes"
	"encoding/binary"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
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

// maxLoader is how much of a file is looked at, and maxLoaders how many are.
const (
	maxLoader  = 128 << 20
	maxLoaders = 64
)

const typeBIOSBoot = "21686148-6449-6e6f-744e-656564454649"

// Loaders finds the boot loaders of a disk.
func (d *Disk) Loaders() []Loader {
	var out []Loader
	if l := d.biosLoader(); l != nil {
		out = append(out, *l)
	}
	if d.Table == nil {
		return out
	}
	for _, v := range d.Volumes {
		if !v.Partition.IsESP() || v.FS == nil {
			continue
		}
		// What cannot be read is no boot loader.
		_ = fsread.Walk(v.FS, func(name string, number uint64, n *fsread.Node) error {
			if strings.EqualFold(path.Ext(name), ".efi") && n.Type() == fsread.TypeRegular && len(out) < maxLoaders {
				if l := efiLoader(v.FS, number); l != nil {
					l.Partition, l.Path = v.Partition.Number, name
					out = append(out, *l)
				}
			}
			return nil
		})
	}
	return out
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

// efiLoader tells what a program for UEFI is by its sections and texts.
func efiLoader(f fsread.FS, number uint64) *Loader {
	src, size, err := f.Open(number)
	if err != nil || size > maxLoader {
		return nil
	}
	data := make([]byte, size)
	if n, _ := src.ReadAt(data, 0); int64(n) != size {
		return nil
	}
	machine, sections := peSections(data)
	if sections == nil {
		return nil
	}
	l := &Loader{Firmware: "uefi", Name: "unknown program", Architecture: map[uint16]string{0x8664: "amd64", 0xaa64: "arm64", 0x14c: "386", 0x5064: "riscv64"}[machine]}
	has := func(text string) bool { return bytes.Contains(data, []byte(text)) }
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
	return l
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
	for _, l := range d.Loaders() {
		if l.Architecture != "" {
			return l.Architecture
		}
	}
	return ""
}

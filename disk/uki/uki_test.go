package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
)

// program makes a program for UEFI with the given sections of 16 bytes each.
func program(machine uint16, sections ...string) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0x400+0x200*len(sections))
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x84:], machine)
	le.PutUint16(b[0x86:], uint16(len(sections)))
	le.PutUint16(b[0x94:], 240)
	opt := b[0x98:]
	le.PutUint16(opt, 0x20b)
	le.PutUint32(opt[32:], 0x1000) // section alignment
	le.PutUint32(opt[36:], 0x200)  // file alignment
	le.PutUint32(opt[56:], uint32(0x1000*(1+len(sections))))
	le.PutUint32(opt[60:], 0x400) // headers
	le.PutUint32(opt[64:], 0xabcd)
	le.PutUint16(opt[68:], 10)
	le.PutUint32(opt[108:], 16)
	for i, name := range sections {
		e := b[0x98+240+40*i:]
		copy(e[:8], name)
		le.PutUint32(e[8:], 16)
		le.PutUint32(e[12:], uint32(0x1000*(i+1)))
		le.PutUint32(e[16:], 0x200)
		le.PutUint32(e[20:], uint32(0x400+0x200*i))
		copy(b[0x400+0x200*i:], name+" of the program")
	}
	return b
}

func data(name string, b []byte) Section {
	return Section{Name: name, Data: bytes.NewReader(b), Size: int64(len(b))}
}

// check reads an image with another library, and returns its sections.
func check(t *testing.T, image []byte) map[string]string {
	t.Helper()
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	o := f.OptionalHeader.(*pe.OptionalHeader64)
	got, last := map[string]string{}, uint32(0)
	for _, s := range f.Sections {
		if s.VirtualAddress < last || s.VirtualAddress%o.SectionAlignment != 0 || s.Offset%o.FileAlignment != 0 || s.Size%o.FileAlignment != 0 {
			t.Errorf("section %s has address %#x, offset %#x, size %#x", s.Name, s.VirtualAddress, s.Offset, s.Size)
		}
		last = s.VirtualAddress + s.VirtualSize
		d, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		got[s.Name] = string(d[:min(s.VirtualSize, s.Size)])
	}
	if o.SizeOfImage%o.SectionAlignment != 0 || o.SizeOfImage < last || o.SizeOfImage >= last+o.SectionAlignment || o.CheckSum != 0 {
		t.Errorf("the image says that it takes %#x bytes and has the checksum %#x; its last section ends at %#x", o.SizeOfImage, o.CheckSum, last)
	}
	return got
}

func TestBuild(t *testing.T) {
	t.Parallel()
	for _, machine := range []uint16{AMD64, ARM64} {
		kernel := program(machine, ".text", ".data")
		// Such a kernel takes more memory than it has bytes.
		binary.LittleEndian.PutUint32(kernel[0x98+56:], 0x12345)
		initrd := strings.Repeat("initrd", 1000)
		sections := []Section{Text(".osrel", "ID=x\n"), Text(".cmdline", "root=UUID=1 ro"), Text(".uname", "6.12"), Text(".initrd", initrd), data(".linux", kernel)}
		stub := append(program(machine, ".text", ".sdmagic"), "debug"...)
		binary.LittleEndian.PutUint16(stub[0x98+70:], 0x160)
		image, err := Build(stub, machine, sections)
		if err != nil {
			t.Fatal(err)
		}
		got := check(t, image)
		for name, want := range map[string]string{".osrel": "ID=x\n", ".cmdline": "root=UUID=1 ro", ".uname": "6.12", ".initrd": initrd} {
			if got[name] != want {
				t.Errorf("%s holds %.40q", name, got[name])
			}
		}
		if !strings.HasPrefix(got[".linux"], string(kernel)) || !strings.HasPrefix(got[".text"], ".text of") || len(got) != 7 {
			t.Errorf("there are %d sections, .linux of %d bytes", len(got), len(got[".linux"]))
		}
		f, err := pe.NewFile(bytes.NewReader(image))
		if err != nil {
			t.Fatal(err)
		}
		if s := f.Section(".linux"); s.VirtualSize != 0x12345 || s.Characteristics != 0x40000020 {
			t.Errorf(".linux has %#x bytes in memory, %#x", s.VirtualSize, s.Characteristics)
		}
		o := f.OptionalHeader.(*pe.OptionalHeader64)
		if want := uint32(5 + 14 + 4 + 6000 + 0x12345); o.DllCharacteristics != 0x60 || o.SizeOfInitializedData != want {
			t.Errorf("the characteristics are %#x, and %d bytes initialized, want %d", o.DllCharacteristics, o.SizeOfInitializedData, want)
		}
		if s := f.Section(".initrd"); s.Characteristics != 0x40000040 {
			t.Errorf(".initrd: %#x", s.Characteristics)
		}
		binary.LittleEndian.PutUint16(kernel[0x98+70:], 0x100)
		if h, err := ReadHeader(bytes.NewReader(image), int64(len(image))); err != nil || h.characteristics != 0x60 {
			t.Errorf("read again: %+v, %v", h, err)
		}
		fit, err := Build(stub, machine, sections)
		if err != nil || binary.LittleEndian.Uint16(fit[0x98+70:]) != 0x160 {
			t.Errorf("a kernel that is compatible with NX has lost that: %v", err)
		}
		binary.LittleEndian.PutUint16(kernel[0x98+70:], 0)
		again, err := Build(stub, machine, sections)
		if err != nil || !bytes.Equal(image, again) {
			t.Errorf("the same input gives other bytes: %v", err)
		}
		if _, err := Build(image, machine, sections); err == nil || !strings.Contains(err.Error(), "section .osrel already") {
			t.Errorf("a unified kernel image as a stub: %v", err)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	t.Parallel()
	le := binary.LittleEndian
	change := func(f func(b []byte)) []byte {
		b := program(AMD64, ".text")
		f(b)
		return b
	}
	put16 := func(at int, v uint16) []byte { return change(func(b []byte) { le.PutUint16(b[at:], v) }) }
	put32 := func(at int, v uint32) []byte { return change(func(b []byte) { le.PutUint32(b[at:], v) }) }
	const opt, table = 0x98, 0x98 + 240
	for name, tc := range map[string]struct {
		program []byte
		want    string
		// stubOnly says that it is fine for a kernel.
		stubOnly bool
	}{
		"empty":                 {nil, "does not start with the letters MZ", false},
		"text":                  {[]byte(strings.Repeat("#!/bin/sh\n", 100)), "does not start with the letters MZ", false},
		"gzip":                  {[]byte("\x1f\x8b\x08 and more"), "compressed with gzip", false},
		"no PE header":          {put32(0x3c, 0x300), "no PE header", false},
		"PE header far away":    {put32(0x3c, 0xffffffff), "no PE header", false},
		"PE header at the end":  {program(AMD64, ".text")[:0xa0], "no PE header", false},
		"32 bits":               {put16(opt, 0x10b), "no program with 64 bits", false},
		"a driver":              {put16(opt+68, 11), "its subsystem is 11", false},
		"no alignment":          {put32(opt+32, 0), "aligned to 0 bytes", false},
		"odd alignment":         {put32(opt+36, 3), "aligned to 3 bytes", false},
		"huge alignment":        {put32(opt+36, 1<<31), "aligned to 2147483648 bytes", false},
		"no sections":           {put16(0x86, 0), "it has 0 sections", false},
		"many sections":         {put16(0x86, 65535), "it has 65535 sections", false},
		"sections outside":      {put16(0x86, 90), "outside of its headers", false},
		"table in the header":   {put16(0x94, 8), "outside of its headers", false},
		"headers outside":       {put32(opt+60, 1<<30), "outside of its headers", false},
		"section behind":        {put32(table+20, 0xfffffe00), "ends behind the file", false},
		"section of 4 GiB":      {put32(table+16, 0xffffffff), "ends behind the file", false},
		"other machine":         {program(ARM64, ".text"), "for the machine 0xaa64", false},
		"a section in the room": {put32(table+20, 0x1c0), "no room for 2 more sections", true},
		"signed":                {change(func(b []byte) { le.PutUint32(b[opt+144:], 0x600); le.PutUint32(b[opt+148:], 8) }), "it is signed", true},
		"a section of the name": {program(AMD64, ".text", ".linux"), "a section .linux already", true},
		"takes all memory":      {put32(table+12, 0xfffff000), "twice as much memory", true},
		"full headers":          {program(AMD64, strings.Fields(strings.Repeat(".s ", 14))...), "no room for 2 more sections", true},
	} {
		good := program(AMD64, ".text")
		_, err := Build(tc.program, AMD64, []Section{Text(".cmdline", "x"), data(".linux", good)})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s as a stub: error %v, want %q", name, err, tc.want)
		}
		_, err = Build(good, AMD64, []Section{Text(".cmdline", "x"), data(".linux", tc.program)})
		if tc.stubOnly && err != nil || !tc.stubOnly && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s as a kernel: error %v, want %q", name, err, tc.want)
		}
	}
	good := program(AMD64, ".text")
	for want, sections := range map[string][]Section{
		"nothing to append":                  nil,
		`"": a section has a name`:           {Text("", "x")},
		`".longname"`:                        {Text(".longname", "x")},
		"up to 1073741824 bytes of data":     {{Name: ".initrd", Data: strings.NewReader(""), Size: 1 << 40}},
		".initrd: with it the image":         {{Name: ".initrd", Data: strings.NewReader(""), Size: MaxSize}},
		".initrd: unexpected EOF":            {{Name: ".initrd", Data: strings.NewReader("short"), Size: 100}},
		".initrd: a disk error":              {{Name: ".initrd", Data: broken{}, Size: 100}},
		".linux: a disk error":               {{Name: ".linux", Data: broken{}, Size: 100}},
		".linux: with it the image has more": {data(".linux", put32(opt+56, 0xfffff000))},
	} {
		if _, err := Build(good, AMD64, sections); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("a disk error") }

// TestRealStub takes the stub of the machine, if there is one.
func TestRealStub(t *testing.T) {
	t.Parallel()
	stub, err := os.ReadFile("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	if err != nil {
		t.Skip(err)
	}
	image, err := Build(stub, AMD64, []Section{Text(".osrel", "ID=x\n"), Text(".cmdline", "ro"), Text(".uname", "6"), Text(".initrd", "initrd"), data(".linux", program(AMD64, ".text"))})
	if err != nil {
		t.Fatal(err)
	}
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".text", ".sdmagic", ".osrel", ".cmdline", ".uname", ".initrd", ".linux"} {
		if f.Section(name) == nil {
			t.Errorf("there is no section %s", name)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add(program(AMD64, ".text"), program(AMD64, ".text", ".data"))
	f.Fuzz(func(t *testing.T, stub, kernel []byte) {
		image, err := Build(stub, AMD64, []Section{Text(".cmdline", "x"), data(".linux", kernel)})
		if err != nil {
			return
		}
		if h, err := ReadHeader(bytes.NewReader(image), int64(len(image))); err != nil || h.Machine != AMD64 {
			t.Errorf("what was made cannot be read: %v", err)
		}
	})
}

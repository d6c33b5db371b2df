package uki

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Machines, as the header of a program names them.
const (
	AMD64 uint16 = 0x8664
	ARM64 uint16 = 0xaa64
)

// Places in the headers, in bytes: of fields in the COFF header behind its
// signature, and in the optional header of a program with 64 bits.
const (
	peOffset     = 0x3c // in the DOS header: where the signature is
	peHeaderSize = 24   // signature and COFF header
	sectionSize  = 40   // an entry of the section table

	coffMachine  = 4
	coffSections = 6
	coffOptional = 20

	optMagic            = 0
	optInitialized      = 8
	optSectionAlignment = 32
	optFileAlignment    = 36
	optSizeOfImage      = 56
	optSizeOfHeaders    = 60
	optCheckSum         = 64
	optSubsystem        = 68
	optCharacteristics  = 70
	optDirectories      = 108
	optSecurity         = 144 // the entry of the signature: place and size
	optSize             = 152 // what has to be there of it

	magic64        = 0x20b
	efiApplication = 10
	nxCompatible   = 0x100 // it runs where memory is either written or executed
)

// Bounds of what is believed.
const (
	maxHeaders   = 64 << 10
	maxSections  = 96
	maxAlignment = 64 << 10
)

// section is an entry of the section table.
type section struct {
	name                 string
	address, size        uint32 // in memory
	pointer, sizeOfBytes uint32 // in the file
}

// Header is what the headers of a program say.
type Header struct {
	// Machine is the processor that it is for, such as AMD64.
	Machine uint16
	// SizeOfImage is how much memory the program takes, in bytes.
	SizeOfImage uint32

	coff, optional, table int // where the headers are in the file
	sectionAlignment      uint32
	fileAlignment         uint32
	sizeOfHeaders         uint32
	initialized           uint32
	characteristics       uint16
	signed                bool
	sections              []section
}

// ReadHeader reads the headers of a program of size bytes for UEFI on a
// processor with 64 bits. Whatever is not one is an error that says why.
func ReadHeader(r io.ReaderAt, size int64) (*Header, error) {
	b := make([]byte, min(size, maxHeaders))
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(b) > 2 && b[0] == 0x1f && b[1] == 0x8b {
		return nil, errors.New("it is compressed with gzip, which firmware does not unpack")
	}
	if len(b) < peOffset+4 || b[0] != 'M' || b[1] != 'Z' {
		return nil, errors.New("it is no program for UEFI: it does not start with the letters MZ")
	}
	le := binary.LittleEndian
	at := int64(le.Uint32(b[peOffset:]))
	if at+peHeaderSize+optSize > int64(len(b)) || string(b[at:at+4]) != "PE\x00\x00" {
		return nil, errors.New("it is no program for UEFI: it has no PE header")
	}
	h := &Header{coff: int(at), optional: int(at) + peHeaderSize}
	coff, opt := b[h.coff:], b[h.optional:]
	h.Machine = le.Uint16(coff[coffMachine:])
	if magic := le.Uint16(opt[optMagic:]); magic != magic64 {
		return nil, fmt.Errorf("it is no program with 64 bits: its optional header is of kind %#x", magic)
	}
	if s := le.Uint16(opt[optSubsystem:]); s != efiApplication {
		return nil, fmt.Errorf("it is no application for UEFI: its subsystem is %d", s)
	}
	h.table = h.optional + int(le.Uint16(coff[coffOptional:]))
	h.sectionAlignment, h.fileAlignment = le.Uint32(opt[optSectionAlignment:]), le.Uint32(opt[optFileAlignment:])
	h.SizeOfImage, h.sizeOfHeaders = le.Uint32(opt[optSizeOfImage:]), le.Uint32(opt[optSizeOfHeaders:])
	h.initialized, h.characteristics = le.Uint32(opt[optInitialized:]), le.Uint16(opt[optCharacteristics:])
	h.signed = le.Uint32(opt[optDirectories:]) > 4 && le.Uint64(opt[optSecurity:]) != 0
	return h, h.readSections(b, size, int(le.Uint16(coff[coffSections:])))
}

// readSections reads and checks the section table.
func (h *Header) readSections(b []byte, size int64, count int) error {
	for _, a := range []uint32{h.sectionAlignment, h.fileAlignment} {
		if a == 0 || a&(a-1) != 0 || a > maxAlignment {
			return fmt.Errorf("its sections are aligned to %d bytes, which cannot be", a)
		}
	}
	end := h.table + count*sectionSize
	switch {
	case count == 0 || count > maxSections:
		return fmt.Errorf("it says that it has %d sections", count)
	case h.table < h.optional+optSize || end > len(b) || int64(h.sizeOfHeaders) > size || end > int(h.sizeOfHeaders):
		return errors.New("its section table lies outside of its headers")
	}
	le := binary.LittleEndian
	for i := range count {
		e := b[h.table+i*sectionSize:]
		name, _, _ := strings.Cut(string(e[:8]), "\x00")
		s := section{name: name, size: le.Uint32(e[8:]), address: le.Uint32(e[12:]), sizeOfBytes: le.Uint32(e[16:]), pointer: le.Uint32(e[20:])}
		if int64(s.pointer)+int64(s.sizeOfBytes) > size {
			return fmt.Errorf("its section %q ends behind the file", s.name)
		}
		h.sections = append(h.sections, s)
	}
	return nil
}

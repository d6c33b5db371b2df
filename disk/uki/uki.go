package uki

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxSize is the size in bytes of the largest image that Build makes. Firmware
// reads all of it into memory below 4 GiB.
const MaxSize = 1 << 30

// page is what sections are aligned to in memory at least: a kernel that is
// started where it lies needs whole pages.
const page = 4096

// Characteristics of a section.
const (
	hasCode = 0x20
	hasData = 0x40
	canRead = 0x40000000
)

// Section is what one section of an image holds.
type Section struct {
	// Name is its name, such as ".linux": up to eight bytes.
	Name string
	// Data is its content, of Size bytes.
	Data io.ReaderAt
	Size int64
}

// Text returns a section with a text.
func Text(name, text string) Section {
	return Section{Name: name, Data: strings.NewReader(text), Size: int64(len(text))}
}

// Build returns the stub with the sections appended, each in the memory behind
// the one before. The stub must be a program for the machine that is not
// signed and has none of the sections yet, and the section ".linux" a program
// for the same machine. Errors name what is wrong; those of a section start
// with its name.
func Build(stub []byte, machine uint16, sections []Section) ([]byte, error) {
	h, err := ReadHeader(bytes.NewReader(stub), int64(len(stub)))
	if err != nil {
		return nil, fmt.Errorf("the stub: %w", err)
	}
	if err := h.checkStub(machine, sections); err != nil {
		return nil, fmt.Errorf("the stub: %w", err)
	}
	added, total, err := h.place(int64(len(stub)), sections)
	if err != nil {
		return nil, err
	}
	out := make([]byte, total)
	copy(out, stub)
	le := binary.LittleEndian
	for i, s := range added {
		data := out[s.pointer:][:sections[i].Size]
		if n, err := sections[i].Data.ReadAt(data, 0); n < len(data) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		e := out[h.table+(len(h.sections)+i)*sectionSize:][:sectionSize]
		clear(e)
		copy(e[:8], s.name)
		for j, v := range []uint32{s.size, s.address, s.sizeOfBytes, s.pointer} {
			le.PutUint32(e[8+4*j:], v)
		}
		flags := uint32(canRead | hasData)
		if s.name == ".linux" {
			flags = canRead | hasCode
		}
		le.PutUint32(e[36:], flags)
	}
	last := added[len(added)-1]
	le.PutUint16(out[h.coff+coffSections:], uint16(len(h.sections)+len(added)))
	le.PutUint32(out[h.optional+optSizeOfImage:], uint32(roundUp(int64(last.address)+int64(last.size), int64(h.sectionAlignment))))
	le.PutUint32(out[h.optional+optInitialized:], h.initialized)
	le.PutUint16(out[h.optional+optCharacteristics:], h.characteristics)
	le.PutUint32(out[h.optional+optCheckSum:], 0) // firmware does not look at it
	return out, nil
}

// checkStub reports why sections cannot be appended to a program.
func (h *Header) checkStub(machine uint16, sections []Section) error {
	if len(sections) == 0 {
		return errors.New("there is nothing to append")
	}
	if h.Machine != machine {
		return fmt.Errorf("it is for the machine %#x, and %#x is wanted", h.Machine, machine)
	}
	if h.signed {
		return errors.New("it is signed, and the signature does not hold for an image with more sections: give one without")
	}
	end := int64(h.sizeOfHeaders)
	for _, s := range h.sections {
		if s.sizeOfBytes > 0 {
			end = min(end, int64(s.pointer))
		}
		for _, added := range sections {
			if s.name == added.Name {
				return fmt.Errorf("it has a section %s already", s.name)
			}
		}
	}
	if n := len(h.sections) + len(sections); n > maxSections || int64(h.table+n*sectionSize) > end {
		return fmt.Errorf("its headers have no room for %d more sections: take a newer one", len(sections))
	}
	return nil
}

// place finds where each section goes, and the size of the file, and brings
// those fields of the headers up to date that follow from the sections.
func (h *Header) place(size int64, sections []Section) ([]section, int64, error) {
	file, memory := int64(h.fileAlignment), int64(max(h.sectionAlignment, page))
	at, address := size, int64(h.sizeOfHeaders)
	for _, s := range h.sections {
		address = max(address, int64(s.address)+int64(s.size))
	}
	var out []section
	for _, s := range sections {
		if s.Name == "" || len(s.Name) > 8 || s.Size < 0 || s.Size > MaxSize {
			return nil, 0, fmt.Errorf("%q: a section has a name of up to 8 bytes and up to %d bytes of data, and this has %d", s.Name, MaxSize, s.Size)
		}
		inMemory := s.Size
		if s.Name == ".linux" {
			k, err := ReadHeader(s.Data, s.Size)
			if err == nil && k.Machine != h.Machine {
				err = fmt.Errorf("it is for the machine %#x, and the stub for %#x", k.Machine, h.Machine)
			}
			if err != nil {
				return nil, 0, fmt.Errorf("%s: %w", s.Name, err)
			}
			// A kernel that is started where it lies needs room for what it
			// does not bring along.
			inMemory = max(inMemory, int64(k.SizeOfImage))
			// What the whole image claims must be true of the kernel as well.
			if k.characteristics&nxCompatible == 0 {
				h.characteristics &^= nxCompatible
			}
		}
		at, address = roundUp(at, file), roundUp(address, memory)
		end := at + roundUp(s.Size, file)
		if end > MaxSize || address+inMemory > 2*MaxSize {
			return nil, 0, fmt.Errorf("%s: with it the image has more than %d bytes, or takes more than twice as much memory", s.Name, MaxSize)
		}
		out = append(out, section{name: s.Name, address: uint32(address), size: uint32(inMemory), pointer: uint32(at), sizeOfBytes: uint32(end - at)})
		h.initialized += uint32(inMemory)
		at, address = end, address+inMemory
	}
	return out, at, nil
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

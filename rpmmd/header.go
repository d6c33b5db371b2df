package rpmmd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds of the headers of a package: the format's own limits, and for the
// signatures what room for those of a kernel's files is enough.
const (
	leadSize         = 96
	maxHeaderEntries = 0xffff
	maxHeaderData    = 256<<20 - 1
	maxSignatureData = 64 << 20
)

// Tags of the header and of the signature header. The two have numbers of
// their own where these are below 1100.
const (
	tagHeaderImage      = 61
	tagHeaderSignatures = 62
	tagHeaderImmutable  = 63

	tagName             = 1000
	tagVersion          = 1001
	tagRelease          = 1002
	tagEpoch            = 1003
	tagBuildTime        = 1006
	tagSize             = 1009
	tagVendor           = 1011
	tagLicense          = 1014
	tagArch             = 1022
	tagSourceRPM        = 1044
	tagLongSize         = 5009
	tagPayloadDigest    = 5092
	tagPayloadDigestAlg = 5093

	sigTagDSA       = 267
	sigTagRSA       = 268
	sigTagSHA1      = 269
	sigTagLongSize  = 270
	sigTagSHA256    = 273
	sigTagOpenPGP   = 278
	sigTagSize      = 1000
	sigTagPGP       = 1002
	sigTagGPG       = 1005
	headerEntrySize = 16
)

// Types of values.
const (
	typeInt32  = 4
	typeInt64  = 5
	typeString = 6
	typeBinary = 7
	typeArray  = 8
	typeI18N   = 9
)

var headerMagic = []byte{0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0}

// header is one header of a package.
type header struct {
	entries map[uint32]headerEntry
	data    []byte
	// raw is the whole of it as it stands in the file.
	raw []byte
}

type headerEntry struct {
	typ, offset, count uint32
}

// readLead reads what is left of the first form of the format.
func readLead(r io.Reader) error {
	var lead [leadSize]byte
	if _, err := io.ReadFull(r, lead[:]); err != nil || !bytes.HasPrefix(lead[:], []byte{0xed, 0xab, 0xee, 0xdb}) {
		return errors.New("not an RPM package")
	}
	if lead[4] != 3 && lead[4] != 4 {
		return fmt.Errorf("an RPM package of format %d; known are 3 and 4", lead[4])
	}
	if typ := binary.BigEndian.Uint16(lead[6:]); typ != 0 {
		return errors.New("a source package and not one to install")
	}
	return nil
}

// readHeader reads one header. The region is the tag that must stand first:
// it says that the header is whole.
func readHeader(r io.Reader, region uint32, limit int) (*header, error) {
	var intro [16]byte
	if _, err := io.ReadFull(r, intro[:]); err != nil {
		return nil, errors.New("is cut off")
	}
	if !bytes.Equal(intro[:8], headerMagic) {
		return nil, errors.New("does not begin as a header does")
	}
	count, size := binary.BigEndian.Uint32(intro[8:]), binary.BigEndian.Uint32(intro[12:])
	if count == 0 || count > maxHeaderEntries || size > uint32(limit) {
		return nil, fmt.Errorf("has %d entries and %d bytes, more than fits", count, size)
	}
	body := int64(count)*headerEntrySize + int64(size)
	var raw bytes.Buffer
	raw.Write(intro[:])
	// Grows with what is really there, whatever the numbers say.
	if n, err := io.CopyN(&raw, r, body); err != nil || n != body {
		return nil, errors.New("is cut off")
	}
	h := &header{entries: make(map[uint32]headerEntry, min(count, 1024)), raw: raw.Bytes()}
	index := h.raw[16 : 16+int(count)*headerEntrySize]
	h.data = h.raw[16+len(index):]
	for i := 0; i < len(index); i += headerEntrySize {
		tag := binary.BigEndian.Uint32(index[i:])
		e := headerEntry{binary.BigEndian.Uint32(index[i+4:]), binary.BigEndian.Uint32(index[i+8:]), binary.BigEndian.Uint32(index[i+12:])}
		if e.offset > size {
			return nil, fmt.Errorf("tag %d lies outside of it", tag)
		}
		if _, twice := h.entries[tag]; twice {
			return nil, fmt.Errorf("has tag %d twice", tag)
		}
		if (i == 0) != (tag == region) {
			return nil, errors.New("is not in one piece; packages of rpm older than 4.0 are not supported")
		}
		h.entries[tag] = e
	}
	return h, h.checkRegion(region, count)
}

// checkRegion checks that the region covers all entries: else some would not
// be what the package was built with.
func (h *header) checkRegion(region, count uint32) error {
	e := h.entries[region]
	trailer, err := h.bytes(e, headerEntrySize)
	if err != nil || e.typ != typeBinary || e.count != headerEntrySize {
		return errors.New("is damaged: its region has no end")
	}
	tag, typ := binary.BigEndian.Uint32(trailer), binary.BigEndian.Uint32(trailer[4:])
	back, length := int32(binary.BigEndian.Uint32(trailer[8:])), binary.BigEndian.Uint32(trailer[12:])
	// The signature headers of older versions end as another region did.
	if region == tagHeaderSignatures && tag == tagHeaderImage {
		tag = region
	}
	if tag != region || typ != typeBinary || length != headerEntrySize {
		return errors.New("is damaged: its region has another end")
	}
	if region == tagHeaderImmutable && -int64(back) != int64(count)*headerEntrySize {
		return errors.New("is damaged: its region does not cover all entries")
	}
	return nil
}

func (h *header) has(tag uint32) bool { _, ok := h.entries[tag]; return ok }

func (h *header) bytes(e headerEntry, n int) ([]byte, error) {
	if int64(e.offset)+int64(n) > int64(len(h.data)) {
		return nil, errors.New("lies outside of the header")
	}
	return h.data[e.offset : int(e.offset)+n], nil
}

// blob returns a binary value, or nothing where there is no such tag.
func (h *header) blob(tag uint32) ([]byte, error) {
	e, ok := h.entries[tag]
	if !ok {
		return nil, nil
	}
	if e.typ != typeBinary || e.count > maxHeaderData {
		return nil, fmt.Errorf("tag %d is not binary", tag)
	}
	b, err := h.bytes(e, int(e.count))
	if err != nil {
		return nil, fmt.Errorf("tag %d %w", tag, err)
	}
	return b, nil
}

// texts returns the strings of a tag, at most limit of them.
func (h *header) texts(tag uint32, limit int) ([]string, error) {
	e, ok := h.entries[tag]
	if !ok {
		return nil, nil
	}
	if e.typ != typeString && e.typ != typeArray && e.typ != typeI18N || e.typ == typeString && e.count != 1 || e.count == 0 {
		return nil, fmt.Errorf("tag %d holds no text", tag)
	}
	if int64(e.count) > int64(limit) {
		return nil, fmt.Errorf("tag %d holds %d texts, more than %d", tag, e.count, limit)
	}
	rest := h.data[e.offset:]
	var out []string
	for range e.count {
		end := bytes.IndexByte(rest, 0)
		if end < 0 {
			return nil, fmt.Errorf("tag %d lies outside of the header", tag)
		}
		out = append(out, string(rest[:end]))
		rest = rest[end+1:]
	}
	return out, nil
}

// text returns the first string of a tag, or nothing.
func (h *header) text(tag uint32) (string, error) {
	all, err := h.texts(tag, maxTexts)
	if err != nil || len(all) == 0 {
		return "", err
	}
	return all[0], nil
}

const maxTexts = 1000

// number returns the one number of a tag, and whether there is such a tag.
func (h *header) number(tag uint32) (uint64, bool, error) {
	e, ok := h.entries[tag]
	if !ok {
		return 0, false, nil
	}
	size := map[uint32]int{typeInt32: 4, typeInt64: 8}[e.typ]
	if size == 0 || e.count != 1 {
		return 0, false, fmt.Errorf("tag %d is not one number", tag)
	}
	b, err := h.bytes(e, size)
	if err != nil {
		return 0, false, fmt.Errorf("tag %d %w", tag, err)
	}
	if size == 4 {
		return uint64(binary.BigEndian.Uint32(b)), true, nil
	}
	return binary.BigEndian.Uint64(b), true, nil
}

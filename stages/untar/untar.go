package untar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Type is what a member is.
type Type byte

// The types of members.
const (
	File     Type = '0'
	HardLink Type = '1'
	Symlink  Type = '2'
	Char     Type = '3'
	Block    Type = '4'
	Dir      Type = '5'
	Fifo     Type = '6'
)

// The types of blocks that are no members, and of members that have another
// type here.
const (
	typeContiguous = '7'
	typePax        = 'x'
	typeGlobal     = 'g'
	typeSolaris    = 'X'
	typeLongName   = 'L'
	typeLongLink   = 'K'
	typeSparse     = 'S'
	typeDump       = 'D'
	typeContinued  = 'M'
	typeVolume     = 'V'
)

// Header describes a member.
type Header struct {
	// Name and Link are the names as they are in the archive; Link is what a
	// link points to.
	Name, Link string
	Type       Type
	// Unknown is the type in the archive if nobody knows it. The member is then
	// a file.
	Unknown byte
	// Mode holds the permissions and the bits for set-user-id, set-group-id and
	// sticky, as stat(2) has them.
	Mode     uint32
	UID, GID int
	// Time is in whole seconds.
	Time time.Time
	// Major and Minor are the number of a device.
	Major, Minor uint32
	// Size is the size of a file, and Data how much of it the archive holds.
	Size, Data int64
	// Pieces say where the data of a sparse file are; nil if it is none.
	Pieces []Piece
}

// Piece is a part of a sparse file that is no hole.
type Piece struct{ Offset, Size int64 }

const (
	blockSize = 512
	// maxSpecial bounds headers that hold names and other texts.
	maxSpecial = 1 << 20
	// maxPieces bounds the pieces of a sparse file.
	maxPieces = 1 << 20
)

// Reader reads an archive.
type Reader struct {
	r io.Reader
	// left is what is left of the data of the member, and padding what follows.
	left, padding int64
	global        records
}

// NewReader returns a reader of an archive that is not compressed.
func NewReader(r io.Reader) *Reader { return &Reader{r: r, global: records{}} }

// Next returns the next member, or io.EOF at the end of the archive.
func (r *Reader) Next() (*Header, error) {
	local := records{}
	var sparse pieces
	longName, longLink := "", ""
	for {
		b, err := r.header()
		if err != nil {
			if errors.Is(err, io.EOF) && (len(local) > 0 || longName != "" || longLink != "") {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
		size, err := b.number(124, 12)
		if err != nil || size < 0 {
			return nil, errors.New("a header has no valid size")
		}
		switch b[156] {
		case typePax, typeSolaris, typeGlobal:
			text, err := r.special(size)
			if err != nil {
				return nil, err
			}
			if b[156] == typeGlobal {
				// Sparse files have no global records.
				err = r.global.parse(text, &pieces{})
			} else {
				err = local.parse(text, &sparse)
			}
			if err != nil {
				return nil, err
			}
		case typeLongName:
			text, err := r.special(size)
			if err != nil {
				return nil, err
			}
			longName = untilNUL(text)
		case typeLongLink:
			text, err := r.special(size)
			if err != nil {
				return nil, err
			}
			longLink = untilNUL(text)
		case typeVolume:
			r.left, r.padding = size, padding(size)
		default:
			return r.member(b, size, longName, longLink, merged(r.global, local), sparse)
		}
	}
}

// Read reads what the archive holds of the member: for a sparse file its pieces
// one after the other.
func (r *Reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if errors.Is(err, io.EOF) && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// block is a block of an archive.
type block [blockSize]byte

// header reads the next header, after what is left of the last member.
func (r *Reader) header() (*block, error) {
	if err := r.skip(r.left + r.padding); err != nil {
		return nil, err
	}
	var b block
	if _, err := io.ReadFull(r.r, b[:]); err != nil {
		return nil, err
	}
	if b == (block{}) {
		return nil, io.EOF // one is the end for GNU tar, even if it likes two
	}
	return &b, b.check()
}

// check compares the checksum of a header. Some old programs took bytes as
// signed.
func (b *block) check() error {
	want, err := b.number(148, 8)
	var unsigned, signed int64
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	if err != nil || want != unsigned && want != signed {
		return errors.New("it is not an archive of tar, or is damaged: the checksum of a header is wrong")
	}
	return nil
}

// special reads the content of a header that is a text.
func (r *Reader) special(size int64) (string, error) {
	if size > maxSpecial {
		return "", fmt.Errorf("a header is larger than %d bytes", maxSpecial)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r.r, text); err != nil {
		return "", cutOff(err)
	}
	r.left, r.padding = 0, padding(size)
	return string(text), nil
}

// skip passes n bytes.
func (r *Reader) skip(n int64) error {
	r.left, r.padding = 0, 0
	_, err := io.CopyN(io.Discard, r.r, n)
	return cutOff(err)
}

func padding(size int64) int64 { return -size & (blockSize - 1) }

func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// member makes a header out of a block and the records before it.
func (r *Reader) member(b *block, size int64, longName, longLink string, rec records, sparse pieces) (*Header, error) {
	h := &Header{Name: b.text(0, 100), Link: b.text(157, 100)}
	if prefix := b.text(345, 155); prefix != "" && string(b[257:263]) == "ustar\x00" {
		h.Name = prefix + "/" + h.Name
	}
	if longName != "" {
		h.Name = longName
	}
	if longLink != "" {
		h.Link = longLink
	}
	if err := h.numbers(b); err != nil {
		return nil, err
	}
	if err := rec.apply(h, &size); err != nil {
		return nil, err
	}
	typ, err := memberType(h, b[156])
	if err != nil {
		return nil, err
	}
	h.Type = typ
	switch b[156] {
	case byte(HardLink), byte(Symlink), byte(Char), byte(Block), byte(Dir), byte(Fifo):
		size = 0
	}
	r.left, r.padding = size, padding(size)
	if h.Type != File {
		return h, nil
	}
	h.Size, h.Data = size, size
	if b[156] == typeSparse {
		err = r.oldSparse(h, b)
	} else {
		err = r.paxSparse(h, rec, sparse)
	}
	return h, err
}

// memberType returns what a member is.
func memberType(h *Header, typ byte) (Type, error) {
	switch typ {
	case byte(HardLink), byte(Symlink), byte(Char), byte(Block), byte(Dir), byte(Fifo):
		return Type(typ), nil
	case typeDump:
		return Dir, nil
	case typeSparse:
		return File, nil
	case typeContinued:
		return 0, fmt.Errorf("%s: it begins in another volume of the archive", cut(h.Name))
	case 0, byte(File), typeContiguous:
		// Before there was a type, the name said what is a directory.
		if strings.HasSuffix(h.Name, "/") {
			return Dir, nil
		}
		return File, nil
	}
	h.Unknown = typ
	return File, nil
}

// numbers reads the numbers of a header.
func (h *Header) numbers(b *block) error {
	for _, f := range []struct {
		name       string
		at, length int
		set        func(int64)
	}{
		{"mode", 100, 8, func(n int64) { h.Mode = uint32(n) & 0o7777 }},
		{"owner", 108, 8, func(n int64) { h.UID = int(n) }},
		{"group", 116, 8, func(n int64) { h.GID = int(n) }},
		{"time", 136, 12, func(n int64) { h.Time = time.Unix(n, 0) }},
		{"device", 329, 8, func(n int64) { h.Major = uint32(n) }},
		{"device", 337, 8, func(n int64) { h.Minor = uint32(n) }},
	} {
		if f.name == "device" && b[156] != byte(Char) && b[156] != byte(Block) {
			continue
		}
		n, err := b.number(f.at, f.length)
		if err != nil {
			return fmt.Errorf("%s: the %s is not a number", cut(h.Name), f.name)
		}
		f.set(n)
	}
	return nil
}

// text returns the text of a field.
func (b *block) text(at, length int) string { return untilNUL(string(b[at : at+length])) }

func untilNUL(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

var errNumber = errors.New("not a number")

// number returns the number of a field: octal, or binary for large ones.
func (b *block) number(at, length int) (int64, error) {
	f := b[at : at+length]
	if f[0]&0x80 != 0 {
		n := int64(0)
		if f[0] == 0xff {
			n = -1
		} else if f[0] != 0x80 {
			return 0, errNumber
		}
		for _, c := range f[1:] {
			if n > 1<<54 || n < -1<<54 {
				return 0, errNumber
			}
			n = n<<8 | int64(c)
		}
		return n, nil
	}
	f = bytes.TrimLeft(f, " ")
	if i := bytes.IndexAny(f, " \x00"); i >= 0 {
		f = f[:i]
	}
	n := int64(0)
	for _, c := range f {
		if c < '0' || c > '7' {
			return 0, errNumber
		}
		n = n<<3 | int64(c-'0') // twelve digits at most
	}
	return n, nil
}

// cut shortens a name for a message.
func cut(name string) string { return fmt.Sprintf("%.200q", name) }

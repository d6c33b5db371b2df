package untar

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// pieces are those of a sparse file as they are read.
type pieces struct {
	list []Piece
	// open says that the last has no size yet.
	open bool
}

var (
	errSparse = errors.New("the list of the pieces of a sparse file is damaged")
	errPieces = fmt.Errorf("a sparse file has more than %d pieces", maxPieces)
)

// record takes a record of the first pax form, in which offsets and sizes
// alternate.
func (p *pieces) record(offset bool, value string) error {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || offset == p.open {
		return errSparse
	}
	if p.open = offset; !offset {
		p.list[len(p.list)-1].Size = n
		return nil
	}
	return p.add(n, 0)
}

func (p *pieces) add(offset, size int64) error {
	if len(p.list) >= maxPieces {
		return errPieces
	}
	p.list = append(p.list, Piece{offset, size})
	return nil
}

// oldSparse reads the pieces of a file of GNU's own form: four are in the
// header, the others in blocks after it.
func (r *Reader) oldSparse(h *Header, b *block) error {
	size, err := b.number(483, 12)
	if err != nil {
		return errSparse
	}
	var p pieces
	full, err := p.fields(b, 386, 4)
	for more := b[482]; err == nil && full && more != 0; more = b[504] {
		if _, err := io.ReadFull(r.r, b[:]); err != nil {
			return cutOff(err)
		}
		full, err = p.fields(b, 0, 21)
	}
	if err != nil {
		return err
	}
	return r.setSparse(h, p, size)
}

// fields reads pieces from a block, and reports whether it is full.
func (p *pieces) fields(b *block, at, count int) (bool, error) {
	for i := range count {
		f := at + 24*i
		if b[f] == 0 || b[f+12] == 0 {
			return false, nil
		}
		offset, err := b.number(f, 12)
		if err != nil {
			return false, errSparse
		}
		size, err := b.number(f+12, 12)
		if err != nil {
			return false, errSparse
		}
		if err := p.add(offset, size); err != nil {
			return false, err
		}
	}
	return true, nil
}

// paxSparse finds out whether a file is sparse in one of the three pax forms.
func (r *Reader) paxSparse(h *Header, rec records, p pieces) error {
	size := rec["GNU.sparse.size"]
	list, inRecord := rec["GNU.sparse.map"]
	inData := rec["GNU.sparse.major"] == "1" && rec["GNU.sparse.minor"] == "0"
	switch {
	case inData:
		size = rec["GNU.sparse.realsize"]
		if err := r.dataMap(&p); err != nil {
			return err
		}
	case inRecord:
		p = pieces{}
		fields := strings.Split(list, ",")
		if list == "" {
			fields = nil
		}
		for i, f := range fields {
			if err := p.record(i%2 == 0, f); err != nil {
				return err
			}
		}
	case rec["GNU.sparse.major"] != "" && rec["GNU.sparse.major"] != "0":
		return fmt.Errorf("%s: sparse files of form %.20q.%.20q are not known", cut(h.Name), rec["GNU.sparse.major"], rec["GNU.sparse.minor"])
	case size == "":
		return nil
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || p.open {
		return errSparse
	}
	return r.setSparse(h, p, n)
}

// dataMap reads the pieces of the last pax form: lines of numbers before the
// data, filled up to a block.
func (r *Reader) dataMap(p *pieces) error {
	var buf [blockSize]byte
	at := blockSize
	next := func() (int64, error) {
		n := int64(0)
		for digits := 0; ; digits++ {
			if at == blockSize {
				if _, err := io.ReadFull(r, buf[:]); err != nil {
					return 0, errSparse
				}
				at = 0
			}
			c := buf[at]
			at++
			if c == '\n' && digits > 0 {
				return n, nil
			}
			if c < '0' || c > '9' || digits > 17 {
				return 0, errSparse
			}
			n = n*10 + int64(c-'0')
		}
	}
	count, err := next()
	if err != nil {
		return err
	}
	if count > maxPieces {
		return errPieces
	}
	for range count {
		offset, err := next()
		if err != nil {
			return err
		}
		size, err := next()
		if err != nil {
			return err
		}
		if err := p.add(offset, size); err != nil {
			return err
		}
	}
	return nil
}

// setSparse checks the pieces of a file, which are in order and hold all that
// the archive has of it.
func (r *Reader) setSparse(h *Header, p pieces, size int64) error {
	end, data := int64(0), int64(0)
	for _, q := range p.list {
		if q.Offset < end || q.Size < 0 || q.Offset > size || q.Size > size-q.Offset {
			return errSparse
		}
		end = q.Offset + q.Size
		data += q.Size
	}
	if data != r.left {
		return errSparse
	}
	h.Size, h.Data, h.Pieces = size, data, p.list
	if h.Pieces == nil {
		h.Pieces = []Piece{}
	}
	return nil
}

// Extents say where in the file the data go that the archive holds, one after the
// other.
func (h *Header) Extents() []Piece {
	if h.Pieces == nil {
		return []Piece{{0, h.Size}}
	}
	return h.Pieces
}

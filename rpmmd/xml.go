package rpmmd

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// Bounds of XML documents: no element of a repository is nested deeper or
// longer, apart from descriptions of packages.
const (
	maxDepth = 16
	maxToken = 4 << 20
)

// decodeXML reads a small document into v. The depth is checked first, as the
// decoder keeps an entry for each level.
func decodeXML(data []byte, v any) error {
	r := newXMLReader(bytes.NewReader(data), int64(len(data)))
	for {
		if _, err := r.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	return xml.Unmarshal(data, v)
}

// xmlReader reads the tokens of a document without keeping it in memory: the
// document, each token and the depth are bounded.
type xmlReader struct {
	d     *xml.Decoder
	in    *tokenReader
	depth int
	any   bool
}

func newXMLReader(r io.Reader, limit int64) *xmlReader {
	in := &tokenReader{r: r, left: limit}
	return &xmlReader{d: xml.NewDecoder(in), in: in}
}

// next returns the next token, which is valid until the one after it is read;
// at the end of a whole document the error is io.EOF.
func (x *xmlReader) next() (xml.Token, error) {
	x.in.token = 0
	t, err := x.d.RawToken()
	if errors.Is(err, io.EOF) && (x.depth != 0 || !x.any) {
		return nil, errors.New("the document is cut off")
	}
	if err != nil {
		return nil, err
	}
	switch t.(type) {
	case xml.StartElement:
		if x.depth == 0 && x.any {
			return nil, errors.New("the document has more than one root")
		}
		x.any = true
		if x.depth++; x.depth > maxDepth {
			return nil, fmt.Errorf("elements are nested deeper than %d", maxDepth)
		}
	case xml.EndElement:
		if x.depth--; x.depth < 0 {
			return nil, errors.New("an element ends that has not begun")
		}
	}
	return t, nil
}

// attr returns the value of the attribute, or nothing.
func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// tokenReader bounds what is read in all and for one token.
type tokenReader struct {
	r     io.Reader
	left  int64
	token int
}

func (t *tokenReader) Read(p []byte) (int, error) {
	if t.token > maxToken {
		return 0, fmt.Errorf("an element of more than %d MiB", maxToken>>20)
	}
	if t.left <= 0 {
		var one [1]byte
		if n, err := t.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, errors.New("the document is too large")
	}
	if int64(len(p)) > t.left {
		p = p[:t.left]
	}
	n, err := t.r.Read(p)
	t.left -= int64(n)
	t.token += n
	return n, err
}

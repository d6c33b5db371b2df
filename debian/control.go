package debian

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of control files. The largest stanza in Debian's archive is that of
// a package with some thousand Provides, about 200 kB.
const (
	maxStanza = 4 << 20
	maxLine   = 2 << 20
)

// Field is one field of a stanza. Value holds further lines after a newline
// each, with their leading space, as in the file.
type Field struct {
	Name, Value string
}

// Stanza is one paragraph of a control file, with its fields in order.
type Stanza []Field

// Get returns the value of the field name, or "". Names of fields are
// compared without regard to case.
func (s Stanza) Get(name string) string {
	for i := range s {
		if strings.EqualFold(s[i].Name, name) {
			return s[i].Value
		}
	}
	return ""
}

// Has reports whether the field is there, be it empty.
func (s Stanza) Has(name string) bool {
	for i := range s {
		if strings.EqualFold(s[i].Name, name) {
			return true
		}
	}
	return false
}

// String returns the stanza as text, with a newline after each field.
func (s Stanza) String() string {
	var b strings.Builder
	for _, f := range s {
		b.WriteString(f.Name)
		b.WriteByte(':')
		if f.Value != "" && f.Value[0] != '\n' {
			b.WriteByte(' ')
		}
		b.WriteString(f.Value)
		b.WriteByte('\n')
	}
	return b.String()
}

// stanzaReader reads the lines of a control file. It exists beside Stanza
// because an index of 60 MB is read for a few fields of each stanza only.
type stanzaReader struct {
	r    *bufio.Reader
	line int
	long []byte
}

func newStanzaReader(r io.Reader) *stanzaReader {
	return &stanzaReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// next calls field for every line of the next stanza: with the field's name
// and the rest of its line, or with an empty name for a continuation line.
// The slices are valid during the call only. It returns io.EOF when there is
// no further stanza.
func (s *stanzaReader) next(field func(name, value []byte) error) error {
	size, fields := 0, 0
	for {
		line, err := s.readLine()
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
			if errors.Is(err, io.EOF) && fields > 0 {
				return nil
			}
			return err
		}
		s.line++
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) == 0 {
			if fields > 0 {
				return nil
			}
			continue
		}
		if line[0] == '#' {
			continue
		}
		if size += len(line); size > maxStanza {
			return fmt.Errorf("line %d: the stanza is larger than %d MiB", s.line, maxStanza>>20)
		}
		if line[0] == ' ' || line[0] == '\t' {
			if fields == 0 {
				return fmt.Errorf("line %d: a continuation line before the first field", s.line)
			}
			if err := field(nil, line); err != nil {
				return fmt.Errorf("line %d: %w", s.line, err)
			}
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || bytes.ContainsAny(line[:colon], " \t") {
			return fmt.Errorf("line %d: not of the form \"Field: value\"", s.line)
		}
		fields++
		if err := field(line[:colon], bytes.TrimSpace(line[colon+1:])); err != nil {
			return fmt.Errorf("line %d: %w", s.line, err)
		}
	}
}

// readLine returns the next line with its newline, without copying it where
// it fits the buffer.
func (s *stanzaReader) readLine() ([]byte, error) {
	line, err := s.r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	s.long = append(s.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = s.r.ReadSlice('\n')
		if s.long = append(s.long, line...); len(s.long) > maxLine {
			return nil, fmt.Errorf("line %d is longer than %d MiB", s.line+1, maxLine>>20)
		}
	}
	return s.long, err
}

// stanza reads the next stanza of r into memory, or returns io.EOF.
func (s *stanzaReader) stanza() (Stanza, error) {
	var out Stanza
	// The lines of a field are gathered here: a release file's list of
	// checksums has thousands.
	var value []byte
	finish := func() {
		if len(out) > 0 {
			out[len(out)-1].Value = string(value)
		}
	}
	err := s.next(func(name, line []byte) error {
		if name == nil {
			value = append(append(value, '\n'), bytes.TrimRight(line, " \t")...)
			return nil
		}
		if len(out) >= 1000 {
			return errors.New("more than 1000 fields in one stanza")
		}
		finish()
		out = append(out, Field{Name: string(name)})
		value = append(value[:0], line...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	finish()
	return out, nil
}

// ParseControl reads all stanzas of a control file.
func ParseControl(data []byte) ([]Stanza, error) {
	r := newStanzaReader(bytes.NewReader(data))
	var out []Stanza
	for {
		s, err := r.stanza()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
}

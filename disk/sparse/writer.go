package sparse

import (
	"bytes"
	"io"
)

// block is the unit in which holes are looked for: a page, which is what file
// systems allocate.
const block = 4096

var zeros [block]byte

// Writer writes a stream to a new file and leaves out what is zero. Who uses it
// gives the file its length at the end, with Truncate to Written, as the end
// may be a hole as well.
type Writer struct {
	w  io.WriterAt
	at int64
}

// NewWriter returns a Writer that starts at the beginning of w, which must be
// empty.
func NewWriter(w io.WriterAt) *Writer { return &Writer{w: w} }

// NewWriterAt returns a Writer that starts at an offset of w, where nothing must
// be yet.
func NewWriterAt(w io.WriterAt, at int64) *Writer { return &Writer{w: w, at: at} }

// Written is the number of bytes of the stream so far, holes included.
func (w *Writer) Written() int64 { return w.at }

// Skip leaves out n bytes, which read as zeros.
func (w *Writer) Skip(n int64) { w.at += n }

// Write appends data.
func (w *Writer) Write(data []byte) (int, error) {
	whole := len(data)
	for len(data) > 0 {
		n := w.run(data, true)
		w.at += int64(n)
		data = data[n:]
		if n = w.run(data, false); n > 0 {
			if _, err := w.w.WriteAt(data[:n], w.at); err != nil {
				return whole - len(data), err
			}
		}
		w.at += int64(n)
		data = data[n:]
	}
	return whole, nil
}

// run returns how many bytes at the start are in blocks of zeros, or in blocks
// of something else.
func (w *Writer) run(data []byte, zero bool) int {
	n := 0
	for n < len(data) {
		end := n + block - int((w.at+int64(n))%block)
		b := data[n:min(end, len(data))]
		if bytes.Equal(b, zeros[:len(b)]) != zero {
			break
		}
		n += len(b)
	}
	return n
}

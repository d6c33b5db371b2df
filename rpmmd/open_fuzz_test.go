package rpmmd

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

// FuzzOpen reads files that have the checksum that a hostile repomd.xml says: what
// decompressors meet is then all that stands between a mirror and this program.
func FuzzOpen(f *testing.F) {
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write([]byte("content")); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), gz.Bytes())
	f.Add(uint8(1), []byte("\xfd7zXZ\x00\x00\x04"))
	f.Add(uint8(2), []byte("\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00\x00\x99\xe9\xd8\x51"))
	f.Add(uint8(3), []byte("BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00"))
	f.Add(uint8(4), []byte("\x00ZCK1"))
	f.Add(uint8(5), []byte("content"))
	endings := append(append([]string{}, compressions...), "")
	// mostRead is enough for what a short file holds; a bomb goes on for longer.
	const mostRead = 16 << 20
	f.Fuzz(func(t *testing.T, ending uint8, file []byte) {
		d := packed("a.xml"+endings[int(ending)%len(endings)], file)
		r, err := d.Open(bytes.NewReader(file))
		if err != nil {
			return
		}
		defer r.Close()
		n, err := io.CopyN(io.Discard, r, mostRead)
		if err == io.EOF && d.Location == "a.xml" && n != int64(len(file)) {
			t.Fatalf("%d bytes of %d are read", n, len(file))
		}
	})
}

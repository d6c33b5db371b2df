package uki

import (
	"bytes"
	"testing"
)

// Headers of a stub or kernel of a hostile tree are refused or sound.
func FuzzReadHeader(f *testing.F) {
	whole := program(AMD64, ".text", ".data", ".sbat")
	f.Add(whole)
	f.Add(whole[:200])
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ReadHeader(bytes.NewReader(data), int64(len(data)))
		if err == nil && h == nil {
			t.Error("neither a header nor an error")
		}
	})
}

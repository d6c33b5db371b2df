package luks

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"testing"
)

// FuzzHeader reads the text of a header, whose size and checksum are right: else
// nothing of it would be looked at.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(`{"keyslots":{"0":{"type":"luks2","key_size":64}},"segments":{"0":{}},"digests":{"0":{}},"config":{}}`))
	f.Add([]byte(`{"segments":{"0":{"offset":"-1"}}}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := make([]byte, copySize)
		copy(b, "LUKS\xba\xbe\x00\x02")
		be.PutUint64(b[8:], copySize)
		copy(b[binarySize:], text)
		sum := sha256.Sum256(b)
		copy(b[atSum:], sum[:])
		text, _, _ = bytes.Cut(b[binarySize:], []byte{0})
		var want metadata
		valid := json.Unmarshal(text, &want) == nil
		if m, ok := parseHeader(b); ok != valid || ok && m == nil {
			t.Errorf("read: %v, and the text is valid: %v", ok, valid)
		}
		b[atSum]++
		if _, ok := parseHeader(b); ok {
			t.Error("a wrong checksum is taken")
		}
	})
}

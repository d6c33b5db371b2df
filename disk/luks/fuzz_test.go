package luks

import (
	"bytes"
	"testing"
)

// FuzzHeader changes bytes of a header: each four bytes of the input are a place
// and a value. The checksum is wrong then, so the text is read by itself too.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 'x'})
	f.Add([]byte{0, 0x10, 0, '['})
	b := make([]byte, copySize)
	copy(b, "LUKS\xba\xbe\x00\x02")
	copy(b[4096:], `{"keyslots":{"0":{}},"segments":{},"digests":{},"config":{}}`)
	f.Fuzz(func(t *testing.T, edits []byte) {
		c := bytes.Clone(b)
		for ; len(edits) >= 4; edits = edits[4:] {
			c[(int(edits[0])<<16|int(edits[1])<<8|int(edits[2]))%len(c)] = edits[3]
		}
		if m, ok := parseHeader(c); ok && m == nil {
			t.Error("a header without its text")
		}
		_, _ = Open(bytes.NewReader(append(c, c...)), []byte("passphrase"))
	})
}

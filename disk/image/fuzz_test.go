package image

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/limit"
)

// Whatever a file holds, it is told by its content, or unpacked, or refused.
func FuzzUnpack(f *testing.F) {
	for _, m := range magics {
		f.Add(append(make([]byte, m.at), m.text+"rest"...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		dir := t.TempDir()
		file := filepath.Join(dir, "in")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		_, compression, err := Detect(in)
		if err != nil || compression == Plain {
			return
		}
		out, err := os.Create(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		_ = unpack(limit.New(t.Context(), int64(len(data))), out, in, compression)
	})
}

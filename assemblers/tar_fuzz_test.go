package assemblers

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

// An archive of whatever tree is one that can be read, with the same files in it.
func FuzzTreeTar(f *testing.F) {
	f.Add("file", "../../link", uint32(0), uint32(0o644), []byte("data"))
	f.Add(strings.Repeat("n", 200), "/etc/passwd", uint32(minSparse), uint32(0o4755), []byte("x"))
	f.Add("GNU.sparse.name=x\n12 XXX.sparse.a=b", " ", uint32(minSparse*2+513), uint32(0o1000), []byte("x"))
	f.Add("ü\xff", strings.Repeat("l", 300), uint32(1), uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, name, link string, size, mode uint32, data []byte) {
		if name == "" || len(name) > 255 || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || link == "" || len(link) > 4000 || strings.ContainsRune(link, 0) || len(data) > 1<<20 {
			return
		}
		size %= 1 << 28
		dir, out := t.TempDir(), t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "d", name)
		if os.WriteFile(file, data, 0o600) != nil || os.Symlink(link, filepath.Join(dir, "link")) != nil {
			return // not a name here
		}
		if err := errors.Join(os.Truncate(file, int64(size)), os.Chmod(file, os.FileMode(mode&0o777))); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() != 0 && mode&0o400 == 0 {
			return
		}
		in := &module.Input{Tree: dir, OutputDir: out, Epoch: 1, Options: []byte(`{"filename": "a.tar"}`)}
		if runTar(t.Context(), in) != nil {
			return // such as a name that the format does not hold
		}
		a, err := os.Open(filepath.Join(out, "a.tar"))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		found := map[string]*tar.Header{}
		for r := tar.NewReader(a); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("after %d entries: %v", len(found), err)
			}
			found[h.Name] = h
			if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse {
				continue
			}
			want := append(data[:min(len(data), int(size)):min(len(data), int(size))], 0)
			head := make([]byte, min(len(want), int(size)))
			if _, err := io.ReadFull(r, head); err != nil || string(head) != string(want[:len(head)]) {
				t.Errorf("%q begins with %x, want %x, %v", name, head, want, err)
			}
		}
		if h := found["./d/"+name]; len(found) != 4 || h == nil || h.Size != int64(size) || h.Mode != int64(mode&0o777) {
			t.Errorf("%d entries, %+v", len(found), h)
		}
		if h := found["./link"]; h == nil || h.Linkname != link {
			t.Errorf("%+v", h)
		}
	})
}

// Lists that a hostile tree or a ledger has are refused, or have a text for tar.
func FuzzTarACL(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x05\x00\xe8\x03\x00\x00"), uint32(0o100755))
	f.Add([]byte("\x02\x00\x00\x00"), uint32(0o40755))
	f.Fuzz(func(t *testing.T, value []byte, mode uint32) {
		for _, access := range []bool{true, false} {
			out, text, err := tarACL(value, mode, access)
			if err != nil || len(out) == 0 {
				continue
			}
			again, same, err := tarACL(out, mode, access)
			if err != nil || string(again) != string(out) || same != text || strings.ContainsAny(text, "\n\x00=") {
				t.Errorf("%x, mode %o: %q, and then %q, %v", value, mode, text, same, err)
			}
		}
	})
}

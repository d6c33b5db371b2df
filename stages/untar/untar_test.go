package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// raw is a member as its bytes are; numbers are octal.
type raw struct {
	name, link, magic, prefix string
	typ                       byte
	size                      int64
	data                      string
	change                    func(*block)
}

// archive writes members.
func archive(members ...raw) []byte {
	var out bytes.Buffer
	for _, m := range members {
		var b block
		copy(b[0:], m.name)
		copy(b[100:], "0000644\x000000001\x000000002\x00")
		size := m.size
		if size == 0 {
			size = int64(len(m.data))
		}
		copy(b[124:], fmt.Sprintf("%011o\x00%011o\x00", size, 1000))
		b[156] = m.typ
		copy(b[157:], m.link)
		copy(b[257:], m.magic)
		copy(b[345:], m.prefix)
		if m.change != nil {
			m.change(&b)
		}
		sum := int64(8 * ' ')
		for i, c := range b {
			if i < 148 || i >= 156 {
				sum += int64(c)
			}
		}
		copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
		out.Write(b[:])
		out.WriteString(m.data)
		out.Write(make([]byte, padding(int64(len(m.data)))))
	}
	out.Write(make([]byte, 2*blockSize))
	return out.Bytes()
}

const posix = "ustar\x0000"

func record(key, value string) string {
	n := len(key) + len(value) + 3
	for len(fmt.Sprint(n))+len(key)+len(value)+3 != n {
		n = len(fmt.Sprint(n)) + len(key) + len(value) + 3
	}
	return fmt.Sprintf("%d %s=%s\n", n, key, value)
}

// list reads all of an archive.
func list(data []byte) (out []string, err error) {
	r := NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		text := ""
		if h.Data < 1<<20 {
			content, err := io.ReadAll(r)
			if err != nil {
				return out, err
			}
			text = string(content)
		}
		out = append(out, fmt.Sprintf("%c %s>%s %d:%d @%d %d/%d %q", h.Type, h.Name, h.Link, h.UID, h.GID, h.Time.Unix(), h.Size, h.Data, text))
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	sparse := func(real string, pieces ...int64) func(*block) {
		return func(b *block) {
			for i, n := range pieces {
				copy(b[386+12*i:], fmt.Sprintf("%011o\x00", n))
			}
			copy(b[483:], real)
		}
	}
	for name, c := range map[string]struct {
		data []byte
		want []string
		err  string
	}{
		"no type":           {archive(raw{name: "a", data: "x"}, raw{name: "d/"}), []string{`0 a> 1:2 @1000 1/1 "x"`, `5 d/> 1:2 @1000 0/0 ""`}, ""},
		"slash":             {archive(raw{name: "d/", typ: '0'}), []string{`5 d/> 1:2 @1000 0/0 ""`}, ""},
		"contiguous":        {archive(raw{name: "a", typ: '7', data: "x"}), []string{`0 a> 1:2 @1000 1/1 "x"`}, ""},
		"unknown":           {archive(raw{name: "a", typ: 'A', data: "acl"}, raw{name: "b", typ: '0'}), []string{`0 a> 1:2 @1000 3/3 "acl"`, `0 b> 1:2 @1000 0/0 ""`}, ""},
		"prefix":            {archive(raw{name: "a", magic: posix, prefix: "p/q"}), []string{`0 p/q/a> 1:2 @1000 0/0 ""`}, ""},
		"no prefix of GNU":  {archive(raw{name: "a", magic: "ustar  \x00", prefix: "00000000012"}), []string{`0 a> 1:2 @1000 0/0 ""`}, ""},
		"volume":            {archive(raw{name: "v", typ: 'V'}, raw{name: "a"}), []string{`0 a> 1:2 @1000 0/0 ""`}, ""},
		"continued":         {archive(raw{name: "v", typ: 'M', data: "x"}), nil, "another volume"},
		"dump":              {archive(raw{name: "d/", typ: 'D', data: "Yfile\x00\x00"}, raw{name: "a"}), []string{`5 d/> 1:2 @1000 0/0 "Yfile\x00\x00"`, `0 a> 1:2 @1000 0/0 ""`}, ""},
		"long names":        {archive(raw{typ: 'L', data: "long\x00"}, raw{typ: 'K', data: "longlink\x00"}, raw{name: "a", typ: '2'}), []string{`2 long>longlink 1:2 @1000 0/0 ""`}, ""},
		"pax":               {archive(raw{typ: 'x', data: record("path", "p=q\n") + record("mtime", "-1.5") + record("uid", "4000000000") + record("other", "")}, raw{name: "a", data: "x"}), []string{"0 p=q\n> 4000000000:2 @-2 1/1 \"x\""}, ""},
		"pax for one":       {archive(raw{typ: 'x', data: record("path", "p")}, raw{name: "a"}, raw{name: "b"}), []string{`0 p> 1:2 @1000 0/0 ""`, `0 b> 1:2 @1000 0/0 ""`}, ""},
		"Solaris":           {archive(raw{typ: 'X', data: record("path", "p")}, raw{name: "a"}), []string{`0 p> 1:2 @1000 0/0 ""`}, ""},
		"size in pax":       {archive(raw{typ: 'x', data: record("size", "3")}, raw{name: "a", size: 1, data: "abc"}), []string{`0 a> 1:2 @1000 3/3 "abc"`}, ""},
		"global":            {archive(raw{typ: 'g', data: record("gid", "9") + record("comment", "c")}, raw{name: "a"}, raw{typ: 'x', data: record("gid", "8")}, raw{name: "b"}, raw{typ: 'x', data: record("gid", "")}, raw{name: "c"}), []string{`0 a> 1:9 @1000 0/0 ""`, `0 b> 1:8 @1000 0/0 ""`, `0 c> 1:2 @1000 0/0 ""`}, ""},
		"global, taken off": {archive(raw{typ: 'g', data: record("gid", "9")}, raw{typ: 'g', data: record("gid", "")}, raw{name: "a"}), []string{`0 a> 1:2 @1000 0/0 ""`}, ""},
		"link with size":    {archive(raw{name: "a", typ: '1', link: "b", size: 100}), []string{`1 a>b 1:2 @1000 0/0 ""`}, ""},
		"binary": {archive(raw{name: "a", change: func(b *block) {
			copy(b[108:116], "\x80\x00\x00\x00\x00\x00\x01\x00")
			copy(b[136:148], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe")
		}}), []string{`0 a> 256:2 @-2 0/0 ""`}, ""},
		"one empty block": {append(archive(raw{name: "a"})[:2*blockSize], archive(raw{name: "b"})...), []string{`0 a> 1:2 @1000 0/0 ""`}, ""},
		"no end":          {archive(raw{name: "a"})[:blockSize], []string{`0 a> 1:2 @1000 0/0 ""`}, ""},
		"GNU sparse":      {archive(raw{name: "a", typ: 'S', data: "xyz", change: sparse("00000001000\x00", 8, 3, 512, 0)}), []string{`0 a> 1:2 @1000 512/3 "xyz"`}, ""},
		"all a hole":      {archive(raw{name: "a", typ: 'S', change: sparse("00000001000\x00", 512, 0)}), []string{`0 a> 1:2 @1000 512/0 ""`}, ""},
		"sparse of a TiB": {archive(raw{typ: 'x', data: record("GNU.sparse.size", "1099511627776") + record("GNU.sparse.map", "1099511627775,1") + record("GNU.sparse.name", "n")}, raw{name: "a", data: "z"}), []string{`0 n> 1:2 @1000 1099511627776/1 "z"`}, ""},

		"checksum":          {append([]byte("x"), archive(raw{name: "a"})[1:]...), nil, "checksum"},
		"text":              {bytes.Repeat([]byte("hello "), 200), nil, "not an archive"},
		"cut off":           {archive(raw{name: "a", data: "x"})[:blockSize+100], nil, "unexpected EOF"},
		"cut off, header":   {archive(raw{name: "a"})[:100], nil, "unexpected EOF"},
		"cut off after pax": {archive(raw{typ: 'x', data: record("path", "p")})[:2*blockSize], nil, "unexpected EOF"},
		"large header":      {archive(raw{typ: 'x', size: maxSpecial + 1}), nil, "larger than"},
		"long of nothing":   {archive(raw{typ: 'L', size: 1 << 30}), nil, "larger than"},
		"negative":          {archive(raw{name: "a", change: func(b *block) { copy(b[124:136], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe") }}), nil, "no valid size"},
		"overflow":          {archive(raw{name: "a", change: func(b *block) { copy(b[124:136], "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff") }}), nil, "no valid size"},
		"negative in pax":   {archive(raw{typ: 'x', data: record("size", "-5")}, raw{name: "a"}), nil, `"size"`},
		"bad owner":         {archive(raw{name: "a", change: func(b *block) { copy(b[108:], "xyz") }}), nil, "owner is not a number"},
		"bad record":        {archive(raw{typ: 'x', data: "9999 a=b\n"}, raw{name: "a"}), nil, "pax header is damaged"},
		"record, no end":    {archive(raw{typ: 'x', data: "7 a=b"}, raw{name: "a"}), nil, "pax header is damaged"},
		"record, huge":      {archive(raw{typ: 'x', data: "99999999999999999999 a=b\n"}, raw{name: "a"}), nil, "pax header is damaged"},
		"many records": {archive(raw{typ: 'g', data: func() (s string) {
			for i := range 2000 {
				s += record(fmt.Sprint("k", i), "v")
			}
			return s
		}()}, raw{name: "a"}), nil, "more than"},
		"sparse, overlap":    {archive(raw{name: "a", typ: 'S', data: "xyzxyz", change: sparse("00000001000\x00", 8, 3, 9, 3)}), nil, "pieces"},
		"sparse, beyond":     {archive(raw{name: "a", typ: 'S', data: "xyz", change: sparse("00000000001\x00", 8, 3)}), nil, "pieces"},
		"sparse, too little": {archive(raw{name: "a", typ: 'S', data: "xy", change: sparse("00000001000\x00", 8, 3)}), nil, "pieces"},
		"sparse, odd":        {archive(raw{typ: 'x', data: record("GNU.sparse.size", "10") + record("GNU.sparse.map", "1,2,3")}, raw{name: "a", data: "z"}), nil, "pieces"},
		"sparse, alternate":  {archive(raw{typ: 'x', data: record("GNU.sparse.size", "10") + record("GNU.sparse.offset", "1") + record("GNU.sparse.offset", "1")}, raw{name: "a"}), nil, "pieces"},
		"sparse, form 2":     {archive(raw{typ: 'x', data: record("GNU.sparse.major", "2") + record("GNU.sparse.minor", "0")}, raw{name: "a"}), nil, "not known"},
		"sparse, count":      {archive(raw{typ: 'x', data: record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.realsize", "5")}, raw{name: "a", data: "99999999999\n" + strings.Repeat("\x00", 500)}), nil, "more than"},
		"sparse, no list":    {archive(raw{typ: 'x', data: record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.realsize", "5")}, raw{name: "a"}), nil, "pieces"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := list(c.data)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want one with %q (%q)", err, c.err, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// Holes stay holes, and nothing is read where there is nothing.
func TestExtents(t *testing.T) {
	t.Parallel()
	const size = 1 << 40
	r := NewReader(bytes.NewReader(archive(raw{typ: 'x', data: record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.realsize", fmt.Sprint(size))},
		raw{name: "a", data: "2\n1000000\n3\n1099511627776\n0\n" + strings.Repeat("\x00", blockSize-28) + "xyz"})))
	h, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range h.Extents() {
		if _, err := f.Seek(p.Offset, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(f, r, p.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(h.Size); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := f.ReadAt(got, 999999); err != nil || string(got) != "\x00xyz\x00" {
		t.Errorf("%q, %v", got, err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != size {
		t.Errorf("%v, %v", st, err)
	}
}

// Whatever the bytes are, sizes and pieces are sound.
func FuzzReader(f *testing.F) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range []tar.Header{
		{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "f", Size: 3, Mode: 0o644, ModTime: time.Unix(1, 0)},
		{Name: strings.Repeat("n", 300), Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("l", 300)},
		{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}},
	} {
		if err := w.WriteHeader(&h); err != nil {
			f.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("abc")); err != nil {
				f.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add(archive(raw{typ: 'x', data: record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.realsize", "50")}, raw{name: "a", data: "1\n8\n1\n" + strings.Repeat("\x00", blockSize-6) + "x"}))
	f.Add(archive(raw{name: "a", typ: 'S', data: "xyz", change: func(b *block) {
		copy(b[386:], "00000000010\x0000000000003\x00")
		copy(b[483:], "00000001000\x00")
		b[482] = 1
	}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data))
		for {
			h, err := r.Next()
			if err != nil {
				return
			}
			if h.Size < 0 || h.Data < 0 || h.Data > h.Size && h.Type == File {
				t.Fatalf("%+v", h)
			}
			end := int64(0)
			for _, p := range h.Pieces {
				if p.Offset < end || p.Size < 0 || p.Offset+p.Size > h.Size {
					t.Fatalf("%+v", h)
				}
				end = p.Offset + p.Size
			}
			n, err := io.Copy(io.Discard, r)
			if err == nil && h.Type == File && n != h.Data {
				t.Fatalf("%d bytes of %+v", n, h)
			}
			if err != nil {
				return
			}
		}
	})
}

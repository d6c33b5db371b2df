package expand

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func compressed(t testing.TB, c Compression, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch c {
	case Gzip:
		w = gzip.NewWriter(&out)
	case XZ:
		w, err = xz.NewWriter(&out)
	case Zstd:
		w, err = zstd.NewWriter(&out)
	default:
		return data
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOpen(t *testing.T) {
	t.Parallel()
	want := []byte(strings.Repeat("some text\n", 1000))
	for _, c := range []Compression{None, Gzip, XZ, Zstd, XZ, XZ} {
		in := bufio.NewReader(bytes.NewReader(compressed(t, c, want)))
		if got := ByContent(in); got != c {
			t.Errorf("%q is taken for %q", c, got)
		}
		r, err := Open(ByName("file"+string(c)), in, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadAll(r, int64(len(want)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes, %v", c, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(XZ, strings.NewReader("no xz"), 0); err == nil {
		t.Error("what is no xz was opened")
	}
}

func TestReadAllHasALimit(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 1, 4096, 1 << 20} {
		if got, err := ReadAll(io.LimitReader(zeroes{}, n), n); err != nil || int64(len(got)) != n {
			t.Errorf("%d bytes: %d, %v", n, len(got), err)
		}
		var large *TooLargeError
		if _, err := ReadAll(io.LimitReader(zeroes{}, n+1), n); !errors.As(err, &large) || large.Max != n {
			t.Errorf("%d bytes and one more: %v", n, err)
		}
	}
	if _, err := ReadAll(zeroes{}, 3<<20); err == nil || err.Error() != "it holds more than 3 MiB" {
		t.Error(err)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type ones struct{}

func (ones) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

// nowhere counts what it is given.
type nowhere struct{ n int64 }

func (w *nowhere) WriteAt(p []byte, _ int64) (int, error) { w.n += int64(len(p)); return len(p), nil }

func TestBudget(t *testing.T) {
	t.Parallel()
	buf := make([]byte, 256<<10)
	for name, c := range map[string]struct {
		b    Budget
		r    io.Reader
		n    int64
		want string
	}{
		"zeros are no data":          {Budget{Data: 1, Packed: 1}, zeroes{}, 3 << 30, ""},
		"as much as there may be":    {Budget{Data: 8 << 20, Packed: 8 << 20}, ones{}, 8 << 20, ""},
		"a byte more":                {Budget{Data: 8 << 20, Packed: 8 << 20}, ones{}, 8<<20 + 1, "it holds more than 8 MiB"},
		"3 kB that become 2 GiB":     {Budget{Data: 64 << 30, Packed: 3 << 10}, ones{}, 2 << 30, "it has 3 KiB, and becomes more than 1 GiB and 1000 times as much"},
		"3 MB may become 2 GiB":      {Budget{Data: 64 << 30, Packed: 3 << 20}, ones{}, 2 << 30, ""},
		"an end before it is due":    {Budget{Data: 64 << 30, Packed: 1}, io.LimitReader(zeroes{}, 4096), 4097, "unexpected EOF"},
		"nothing where there is one": {Budget{Data: 64 << 30, Packed: 1}, strings.NewReader(""), 1, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			buf := append([]byte(nil), buf...)
			w := &nowhere{}
			err := c.b.Copy(t.Context(), w, 0, c.r, c.n, buf)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v", err)
			}
			if w.n > c.b.Written() {
				t.Errorf("%d bytes were written, %d counted", w.n, c.b.Written())
			}
		})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	cancel(cause)
	if err := (&Budget{Data: 1 << 40}).Copy(ctx, &nowhere{}, 0, zeroes{}, 1<<60, buf); !errors.Is(err, cause) {
		t.Error(err)
	}
}

// What is written is what was read, whatever of it is zero, and holes take no room.
func TestCopyLeavesHoles(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		want := make([]byte, random.IntN(300_000))
		for range random.IntN(6) {
			if len(want) > 0 {
				at := random.IntN(len(want))
				for i := at; i < min(len(want), at+random.IntN(9000)); i++ {
					want[i] = byte(random.Uint32())
				}
			}
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		at := random.Int64N(10_000)
		b := Budget{Data: 1 << 20, Packed: 1}
		if err := b.Copy(t.Context(), f, at, bytes.NewReader(want), int64(len(want)), make([]byte, 1+random.IntN(20_000))); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(at + int64(len(want))); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(f.Name())
		if err != nil || !bytes.Equal(got[at:], want) {
			t.Fatalf("%d bytes at %d: other content, %v", len(want), at, err)
		}
		f.Close()
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := Budget{Data: 1 << 20, Packed: 1}
	if err := b.Copy(t.Context(), f, 0, io.LimitReader(zeroes{}, 1<<30), 1<<30, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil || st.Sys().(*syscall.Stat_t).Blocks*512 > 1<<20 {
		t.Errorf("%v, %v", st, err)
	}
}

package sparse

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestAhead changes a file between the two transformations: what is taken must
// be made of what the file holds in the end.
func TestAhead(t *testing.T) {
	t.Parallel()
	const block = 4096
	name := filepath.Join(t.TempDir(), "disk")
	var calls atomic.Int32
	work := Work{Block: block, Workers: 2, New: func() (Transform, error) {
		return func(b []byte) ([]byte, error) {
			calls.Add(1)
			if b[0] == 'r' {
				return nil, nil
			}
			return bytes.ToUpper(b[:8]), nil
		}, nil
	}}
	a := StartAhead(t.Context(), name, work, 1<<20)
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fill := func(i int64, c byte) {
		t.Helper()
		if _, err := f.WriteAt(bytes.Repeat([]byte{c}, block), i*block); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []byte("abcraw") {
		fill(int64(i)*2, c)
	}
	for deadline := time.Now().Add(time.Minute); calls.Load() < 6 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	a.Stop()
	if calls.Load() != 6 {
		t.Fatalf("%d blocks were transformed ahead", calls.Load())
	}
	fill(2, 'x') // another content
	fill(1, 'y') // a block that was not there
	work.Ahead = a
	var got string
	err = Blocks(t.Context(), File{f}, 12*block, work, func(index int64, raw, out []byte) error {
		got += fmt.Sprintf("%d%c%.1s ", index, raw[0], out)
		return nil
	})
	if want := "0aA 1yY 2xX 4cC 6r 8aA 10wW "; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if calls.Load() != 8 {
		t.Errorf("%d blocks were transformed again, want 2", calls.Load()-6)
	}
}

// TestAheadWithoutFile ends also where the file never comes, and keeps to its
// limit.
func TestAheadWithoutFile(t *testing.T) {
	t.Parallel()
	work := Work{Block: 4096, Workers: 1, New: func() (Transform, error) {
		return func(b []byte) ([]byte, error) { return b[:100], nil }, nil
	}}
	StartAhead(t.Context(), filepath.Join(t.TempDir(), "missing"), work, 1<<20).Stop()
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 40*4096), 0o600); err != nil {
		t.Fatal(err)
	}
	a := StartAhead(t.Context(), name, work, 500)
	a.wg.Wait() // it ends by itself
	if n := len(a.blocks); n < 5 || n > 7 {
		t.Errorf("%d results of 100 bytes are kept", n)
	}
	a.Stop()
}

package limit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBudget spends more than there is of each kind.
func TestBudget(t *testing.T) {
	t.Parallel()
	b := New(t.Context(), 1000)
	for name, c := range map[string]struct {
		spend func(n int64) error
		most  int64
	}{
		"ReadFloor":      {b.Read, ReadFloor + 1000*ReadRatio},
		"UnpackFloor":    {b.Unpack, UnpackFloor + 1000*UnpackRatio},
		"DataFloor":      {b.Data, DataFloor + 1000*DataRatio},
		"MaxFiles":       {b.Files, MaxFiles},
		"MaxLoaderBytes": {b.LoaderBytes, MaxLoaderBytes},
	} {
		if err := c.spend(c.most); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.spend(1); !errors.Is(err, ErrExceeded) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		spend func() error
		most  int
	}{"MaxVolumes": {b.Volume, MaxVolumes}, "MaxLoaders": {b.Loader, MaxLoaders}} {
		for range c.most {
			if err := c.spend(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := c.spend(); !errors.Is(err, ErrExceeded) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := New(t.Context(), 1<<62).Read(1 << 61); err != nil {
		t.Errorf("a file as large as can be: %v", err)
	}
	var none *Budget
	if err := errors.Join(none.Err(), none.Read(1<<62), none.Read(1<<62), none.Files(1<<40)); err != nil {
		t.Errorf("no budget: %v", err)
	}
}

// TestBudgetEnds ends the command.
func TestBudgetEnds(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	b := New(ctx, 0)
	r := b.Reader(bytes.NewReader(make([]byte, 10)))
	if n, err := r.ReadAt(make([]byte, 10), 0); n != 10 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	cancel(why)
	if _, err := r.ReadAt(make([]byte, 10), 0); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

// TestHeld does not take holes for data.
func TestHeld(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte("x"), 64<<10), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<30), f.Sync()); err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	switch got := Held(st); {
	case got == st.Size():
		t.Skip("the file system knows no holes")
	case got < 4<<10 || got > 64<<20:
		t.Errorf("a file with 64 KiB of data holds %d bytes", got)
	}
}

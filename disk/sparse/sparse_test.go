package sparse

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestFile(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 64 << 20
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	marks := []int64{5 << 20, 6 << 20, 40<<20 + 17}
	for _, at := range marks {
		if _, err := f.WriteAt([]byte{1}, at); err != nil {
			t.Fatal(err)
		}
	}
	var total int64
	found := 0
	for off := int64(0); ; {
		start, end, err := (File{f}).Next(off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start < off || end <= start || end > size {
			t.Fatalf("range %d–%d from %d", start, end, off)
		}
		for _, at := range marks {
			if start <= at && at < end {
				found++
			}
		}
		total += end - start
		off = end
	}
	if found != len(marks) {
		t.Errorf("%d of %d bytes lie in ranges of data", found, len(marks))
	}
	if total > size/2 {
		t.Logf("%d of %d bytes are data: the file system knows no holes", total, int64(size))
	}
	if _, _, err := (File{f}).Next(size); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// Each system has numbers of its own; where there are none, none is tried.
func TestWhence(t *testing.T) {
	t.Parallel()
	for system, want := range map[string][2]int{"linux": {3, 4}, "darwin": {4, 3}, "windows": {unknownWhence, unknownWhence}} {
		if data, hole := whence(system); want != [2]int{data, hole} {
			t.Errorf("%s: %d, %d", system, data, hole)
		}
	}
}

package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// oneCluster is a qcow2 image of a few KiB whose disk of 1 GiB consists of one
// compressed cluster of 2 MiB, again and again.
func oneCluster(t *testing.T, fill string) []byte {
	t.Helper()
	const cluster, entries = 2 << 20, 512
	var z bytes.Buffer
	w, err := flate.NewWriter(&z, flate.BestCompression)
	if err == nil {
		_, err = w.Write(bytes.Repeat([]byte(fill), cluster))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	be := binary.BigEndian
	b := make([]byte, 3*cluster)
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 21)
	be.PutUint64(b[24:], entries*cluster)
	be.PutUint32(b[36:], 1)
	be.PutUint64(b[40:], cluster)
	be.PutUint32(b[96:], 4)
	be.PutUint32(b[100:], 104)
	be.PutUint64(b[cluster:], 2*cluster)
	entry := uint64(1)<<62 | uint64(z.Len()/512+1)<<(62-13) | 3*cluster
	for i := range entries {
		be.PutUint64(b[2*cluster+8*i:], entry)
	}
	return append(b, append(z.Bytes(), make([]byte, 1024)...)...)
}

// TestSharedClusters does not make a disk of 1 GiB out of a small file.
func TestSharedClusters(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// What is zero stays a hole: the file holds less than 100 KiB.
	out := sparse.NewWriter(f)
	if _, err := out.Write(oneCluster(t, "x")); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(out.Written()); err != nil {
		t.Fatal(err)
	}
	m, err := Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if st, err := f.Stat(); err != nil || limit.Held(st) > 1<<20 {
		t.Skip("the file system knows no holes")
	}
	if _, err := m.RawFile(); !errors.Is(err, limit.ErrExceeded) || !strings.Contains(err.Error(), "DataFloor") {
		t.Errorf("error %v", err)
	}
}

package packages

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
)

// unpackOne unpacks one package into a new tree.
func unpackOne(t *testing.T, data []byte) (tree string, err error) {
	t.Helper()
	top := t.TempDir()
	tree = filepath.Join(top, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	p := debian.Package{Name: "a", Version: "1", Architecture: "amd64", Path: "a.deb", File: "a.deb", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	if err := os.WriteFile(filepath.Join(top, p.File), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return tree, unpack(context.Background(), &module.Input{Tree: tree}, top, &debian.PackageList{Packages: []debian.Package{p}}, testOptions())
}

// A file of zeros takes no room in the tree, and a sparse one is none for a package.
func TestUnpackWritesNoZeros(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	body := make([]byte, size)
	copy(body[size/2:], "here")
	tree, err := unpackOne(t, testDeb{name: "a", data: []entry{dir("./"), file("./zeros", string(body))}}.bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(tree, "zeros"))
	if err != nil || st.Size() != size || st.Sys().(*syscall.Stat_t).Blocks*512 > 1<<20 {
		t.Errorf("%+v, %v", st, err)
	}
	got, err := os.ReadFile(filepath.Join(tree, "zeros"))
	if err != nil || string(got) != string(body) {
		t.Errorf("other content, %v", err)
	}
}

func TestCheckMember(t *testing.T) {
	t.Parallel()
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeGNUSparse}, {Typeflag: tar.TypeReg, PAXRecords: map[string]string{"GNU.sparse.major": "1"}},
		{Typeflag: tar.TypeReg, PAXRecords: map[string]string{"GNU.sparse.map": "0,1"}},
	} {
		if err := debian.CheckMember(&h); err == nil || !strings.Contains(err.Error(), "sparse") {
			t.Errorf("%+v: %v", h, err)
		}
	}
	if err := debian.CheckMember(&tar.Header{Typeflag: tar.TypeReg, PAXRecords: map[string]string{"mtime": "1"}}); err != nil {
		t.Error(err)
	}
}

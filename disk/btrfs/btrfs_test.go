package btrfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/fstest"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

// check lets btrfs look at a file system, data included.
func check(t *testing.T, part string) {
	t.Helper()
	program, err := tool.Find("btrfs-progs", "btrfs")
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(program, "check", "--readonly", "--check-data-csum", part).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "no error found") || strings.Contains(string(out), "WARNING") {
		t.Fatalf("btrfs check: %v: %s", err, out)
	}
}

func TestMake(t *testing.T) {
	t.Parallel()
	fstest.RoundTrip(t, "btrfs", 200<<20, Make, check)
}

// TestManyFiles has trees of several levels, and data across a copy of the
// superblock.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	for i := range 12000 {
		name := filepath.Join(tree, fmt.Sprintf("a file with a long name and the number %d", i))
		if err := os.WriteFile(name, bytes.Repeat([]byte{byte(i)}, i%1500), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	big := bytes.Repeat([]byte("0123456789abcde"), 6<<20)
	if err := os.WriteFile(filepath.Join(tree, "big"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	part, c := fstest.Make(t, tree, nil, 300<<20, Make)
	check(t, part)
	fstest.Compare(t, part, "btrfs", tree, c)
}

// TestSizes makes empty file systems of many sizes.
func TestSizes(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{MinSize, MinSize + 5*sectorSize, 3<<30 + 17*sectorSize, 300 << 30} {
		part, _ := fstest.Make(t, t.TempDir(), nil, size, Make)
		check(t, part)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	load := func(attributes map[string][]content.Attribute) *content.Tree {
		t.Helper()
		c, err := content.Load(t.Context(), content.Options{Tree: tree, Epoch: fstest.Epoch, Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	to := content.Target{Disk: f, Size: MinSize, UUID: fstest.UUID}
	small := to
	small.Size--
	if _, err := Make(t.Context(), load(nil), small); err == nil || !strings.Contains(err.Error(), "make it at least 134217728") {
		t.Error(err)
	}
	if _, err := Make(t.Context(), load(map[string][]content.Attribute{"/": {{Name: "user.x", Value: make([]byte, 17000)}}}), to); err == nil || !strings.Contains(err.Error(), "has 17000 bytes") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "big"), bytes.Repeat([]byte("data"), MinSize/4), 0o600); err != nil {
		t.Fatal(err)
	}
	var full *content.TooSmallError
	if _, err := Make(t.Context(), load(nil), to); !errors.As(err, &full) || full.Needed <= MinSize {
		t.Errorf("a large file: %v", err)
	}
}

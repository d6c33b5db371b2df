package xfs

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

// repair lets xfs_repair look at a file system.
func repair(t *testing.T, part string) {
	t.Helper()
	program, err := tool.Find("xfsprogs", "xfs_repair")
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(program, "-n", part).CombinedOutput()
	if err != nil {
		t.Fatalf("xfs_repair: %v: %s", err, out)
	}
	for _, bad := range []string{"would", "bad ", "WARNING", "ahead of log"} {
		if strings.Contains(string(out), bad) {
			t.Errorf("xfs_repair says %q: %s", bad, out)
		}
	}
}

func TestMake(t *testing.T) {
	t.Parallel()
	fstest.RoundTrip(t, "xfs", 200<<20, Make, repair)
}

// TestManyInodes has more inodes than a group takes, and trees of two levels.
func TestManyInodes(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	const files = 40000
	for i := range files {
		if i%1000 == 0 {
			if err := os.Mkdir(filepath.Join(tree, fmt.Sprint(i/1000)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(tree, fmt.Sprint(i/1000), fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	part, c := fstest.Make(t, tree, nil, MinSize, Make)
	repair(t, part)
	fstest.Compare(t, part, "xfs", tree, c)
}

// TestSizes makes empty file systems of many sizes.
func TestSizes(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	for _, size := range []int64{MinSize, MinSize + 5*blockSize, 1<<30 - blockSize, 1 << 30, 3<<30 + 17*blockSize, 200 << 30} {
		part, c := fstest.Make(t, tree, nil, size, Make)
		repair(t, part)
		_ = c
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	load := func(tree string, attributes map[string][]content.Attribute) *content.Tree {
		t.Helper()
		c, err := content.Load(t.Context(), content.Options{Tree: tree, Epoch: fstest.Epoch, Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	tree := t.TempDir()
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	to := content.Target{Disk: f, Size: MinSize, UUID: fstest.UUID}
	for _, tc := range []struct {
		change     func(*content.Target)
		attributes map[string][]content.Attribute
		want       string
	}{
		{func(to *content.Target) { to.Size = MinSize - 1 }, nil, "make it at least 134217728"},
		{func(to *content.Target) { to.Label = "thirteen-char" }, nil, "longer than 12"},
		{func(*content.Target) {}, map[string][]content.Attribute{"/": {{Name: "system.x"}}}, `"/": system.x: XFS has no such attribute`},
		{func(*content.Target) {}, map[string][]content.Attribute{"/": {{Name: "user.big", Value: make([]byte, 5000)}}}, "take more than the 4016 bytes"},
	} {
		changed := to
		tc.change(&changed)
		if _, err := Make(t.Context(), load(tree, tc.attributes), changed); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error %v, want %q", err, tc.want)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "big"), bytes.Repeat([]byte("data"), MinSize/4), 0o600); err != nil {
		t.Fatal(err)
	}
	var small *content.TooSmallError
	if _, err := Make(t.Context(), load(tree, nil), to); !errors.As(err, &small) || small.Needed <= MinSize {
		t.Errorf("a large file: %v", err)
	}
}

func TestHashName(t *testing.T) {
	t.Parallel()
	// From the directories of a file system that mkfs.xfs has made.
	for name, want := range map[string]uint32{".": 0x2e, "..": 0x172e} {
		if got := hashName(name); got != want {
			t.Errorf("%q: %#x, want %#x", name, got, want)
		}
	}
}

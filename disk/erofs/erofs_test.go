package erofs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/fstest"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

// check lets fsck.erofs read everything.
func check(t *testing.T, part string) {
	t.Helper()
	program, err := tool.Find("erofs-utils", "fsck.erofs")
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(program, "--extract", part).CombinedOutput()
	if err != nil {
		t.Errorf("fsck.erofs: %v: %s", err, out)
	}
}

func TestMake(t *testing.T) {
	t.Parallel()
	tree := fstest.Tree(t)
	part, c := fstest.Make(t, tree, fstest.Attributes(), 64<<20, Make)
	check(t, part)
	again, _ := fstest.Make(t, tree, fstest.Attributes(), 64<<20, Make)
	if fstest.Sum(t, part) != fstest.Sum(t, again) {
		t.Error("the same content gives other bytes")
	}
	fstest.Compare(t, part, "erofs", tree, c)
}

// TestTails has files of all sizes around those of blocks and chunks, with
// attributes that push their ends out of the inode's block.
func TestTails(t *testing.T) {
	t.Parallel()
	tree, attributes := t.TempDir(), map[string][]content.Attribute{}
	for i, size := range []int{0, 1, blockSize - inodeSize, blockSize - inodeSize + 1, blockSize - 1, blockSize, blockSize + 1, 3*blockSize - 60, minChunked - 1, minChunked, minChunked + 1, minChunked + chunk} {
		name := string(rune('a' + i))
		if err := os.WriteFile(filepath.Join(tree, name), bytes.Repeat([]byte(name), size), 0o600); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			attributes["/"+name] = []content.Attribute{{Name: "user.long", Value: bytes.Repeat([]byte("v"), 5000*(i%3)+1)}}
		}
	}
	part, c := fstest.Make(t, tree, attributes, 16<<20, Make)
	check(t, part)
	fstest.Compare(t, part, "erofs", tree, c)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "big"), bytes.Repeat([]byte("data"), 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	try := func(attributes map[string][]content.Attribute, size int64, label string) error {
		c, err := content.Load(t.Context(), content.Options{Tree: tree, Epoch: fstest.Epoch, Attributes: attributes})
		if err == nil {
			_, err = Make(t.Context(), c, content.Target{Disk: f, Size: size, Label: label})
		}
		return err
	}
	var small *content.TooSmallError
	if err := try(nil, 300<<10, ""); !errors.As(err, &small) || small.Needed <= 300<<10 {
		t.Errorf("too small: %v", err)
	}
	for want, err := range map[string]error{
		"make it at least 65536":    try(nil, MinSize-1, ""),
		"longer than 16":            try(nil, MinSize, "a label of seventeen"),
		"EROFS has no such":         try(map[string][]content.Attribute{"/big": {{Name: "system.x"}}}, 1<<20, ""),
		"it has 65536 bytes, and E": try(map[string][]content.Attribute{"/": {{Name: "user.x", Value: make([]byte, 1<<16)}}}, 1<<20, ""),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

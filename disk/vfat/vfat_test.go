package vfat

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

func sampleTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string]string{
		"EFI/BOOT/BOOTX64.EFI": strings.Repeat("MZ", 700_001), "EFI/debian/grubx64.efi": "x", "EFI/debian/grub.cfg": "", "loader/loader.conf": "timeout 0\n",
		"Ein langer Name mit Ümläuten und mehr.text": "u", "averylongname.conf": "1", "averylongnamf.conf": "2", ".hidden": "h", "a.b.c": "d", "exactly13char": "e",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	many := filepath.Join(dir, "many")
	if err := os.Mkdir(many, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(many, fmt.Sprintf("entry number %d.conf", i)), bytes.Repeat([]byte{byte(i)}, i*9), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestMake lets fsck.vfat, mtools and blkid look at file systems of both kinds
// and of sizes at which the clusters change.
func TestMake(t *testing.T) {
	t.Parallel()
	fsck, err := tool.Find("dosfstools", "fsck.vfat")
	if err != nil {
		t.Skip(err)
	}
	mtype, err := tool.Find("mtools", "mtype")
	if err != nil {
		t.Skip(err)
	}
	tree := sampleTree(t)
	for _, tc := range []struct {
		size int64
		kind string
	}{
		{MinSize, "FAT16"}, {20 << 20, "FAT16"}, {32 << 20, "FAT16"}, {34 << 20, "FAT32"}, {64 << 20, "FAT32"}, {260 << 20, "FAT32"}, {261 << 20, "FAT32"}, {9 << 30, "FAT32"}, {33 << 30, "FAT32"},
	} {
		part, _ := fstest.Make(t, tree, nil, tc.size, Make)
		if out, err := exec.Command(fsck, "-n", "-V", part).CombinedOutput(); err != nil || strings.Contains(string(out), "differ") {
			t.Errorf("%d: fsck.vfat: %v: %s", tc.size, err, out)
		}
		for name, want := range map[string]string{"::/EFI/BOOT/BOOTX64.EFI": strings.Repeat("MZ", 700_001), "::/averylongnamf.conf": "2", "::/many/entry number 299.conf": string(bytes.Repeat([]byte{43}, 299*9)), "::/.hidden": "h"} {
			out, err := exec.Command(mtype, "-i", part, name).Output()
			if err != nil || string(out) != want {
				t.Errorf("%d: %s has %d bytes (%v)", tc.size, name, len(out), err)
			}
		}
		b := make([]byte, 512)
		f, err := os.Open(part)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if !bytes.Contains(b, []byte(tc.kind)) || !bytes.Contains(b, []byte("a label    ")) {
			t.Errorf("%d: not a %s", tc.size, tc.kind)
		}
		if tc.size <= 64<<20 {
			if again, _ := fstest.Make(t, tree, nil, tc.size, Make); fstest.Sum(t, part) != fstest.Sum(t, again) {
				t.Errorf("%d: the same content gives other bytes", tc.size)
			}
		}
	}
}

// TestClusters counts clusters as firmware does.
func TestClusters(t *testing.T) {
	t.Parallel()
	for size := int64(MinSize); size < 300<<20; size += 37 * sector {
		g, err := plan(size)
		if err != nil {
			t.Fatal(err)
		}
		if g.wide != (g.clusters >= minClusters32) || g.clusters < minClusters16 {
			t.Fatalf("%d bytes: %d clusters, FAT32: %v", size, g.clusters, g.wide)
		}
		if g.dataStart()+g.clusters*g.perCluster > g.sectors {
			t.Fatalf("%d bytes: the clusters reach behind the end", size)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	file := func(name, data string) func(dir string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600) }
	}
	huge := func(dir string) error {
		return errors.Join(file("huge", "")(dir), os.Truncate(filepath.Join(dir, "huge"), 1<<32))
	}
	link := func(dir string) error { return os.Symlink("a", filepath.Join(dir, "link")) }
	both := func(dir string) error { return errors.Join(file("Name", "")(dir), file("nAME", "")(dir)) }
	for _, tc := range []struct {
		want  string
		label string
		size  int64
		make  func(dir string) error
	}{
		{"symbolic link", "", 64 << 20, link},
		{"up to 4 GiB less one byte", "", 64 << 20, huge},
		{"differ only in case", "", 64 << 20, both},
		{`cannot have control characters or one of`, "", 64 << 20, file("a:b", "")},
		{"end with a dot or a space", "", 64 << 20, file("a.", "")},
		{"valid UTF-8", "", 64 << 20, file("a\xff", "")},
		{"the tree does not fit", "", MinSize, file("a", strings.Repeat("x", 5<<20))},
		{"too small: make it at least 4194304", "", MinSize - 1, file("a", "")},
		{"longer than 11", "twelve-chars", 64 << 20, file("a", "")},
		{`has the character '.'`, "a.b", 64 << 20, file("a", "")},
	} {
		dir := t.TempDir()
		if err := tc.make(dir); err != nil {
			t.Fatal(err)
		}
		c, err := content.Load(t.Context(), content.Options{Tree: dir, Epoch: fstest.Epoch})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Make(t.Context(), c, content.Target{Size: tc.size, Label: tc.label})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error %v, want %q", err, tc.want)
		}
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	u, err := ParseID("7b77-95E7")
	if err != nil || FormatID(u) != "7B77-95E7" {
		t.Errorf("%s, %v", FormatID(u), err)
	}
	for _, bad := range []string{"", "7B7795E7", "7B77-95EG", "7B77-95E70", "76a22bf4-f153-4541-b6c7-0332c0dfaeac"} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

package grub

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type buffer struct{ b []byte }

func (b *buffer) WriteAt(p []byte, off int64) (int, error) { return copy(b.b[off:], p), nil }

func images(core int) *Images {
	img := &Images{Boot: bytes.Repeat([]byte{0x11}, 512), Core: bytes.Repeat([]byte{0x22}, core)}
	img.Boot[510], img.Boot[511] = 0x55, 0xaa
	return img
}

func TestInstall(t *testing.T) {
	t.Parallel()
	for _, first := range []uint64{1, 34} {
		b := &buffer{bytes.Repeat([]byte{0xee}, 64<<10)}
		img := images(1500)
		if err := Install(b, img, first, 64); err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte{0xee}, 64<<10)
		copy(want, bytes.Repeat([]byte{0x11}, 440))
		binary.LittleEndian.PutUint64(want[92:], first)
		want[102], want[103] = 0x90, 0x90
		copy(want[first*512:], bytes.Repeat([]byte{0x22}, 1500))
		binary.LittleEndian.PutUint64(want[first*512+500:], first+1)
		if !bytes.Equal(b.b, want) {
			t.Errorf("core at sector %d: the disk differs", first)
		}
		if img.Boot[92] != 0x11 || img.Core[500] != 0x22 {
			t.Error("Install changed the images it was given")
		}
	}
}

func TestInstallErrors(t *testing.T) {
	t.Parallel()
	noMark := images(1000)
	noMark.Boot[511] = 0
	short := images(1000)
	short.Boot = short.Boot[:440]
	for _, tc := range []struct {
		name       string
		img        *Images
		first, end uint64
		want       string
	}{
		{"no mark", noMark, 1, 2048, "not a boot sector"},
		{"short boot.img", short, 1, 2048, "not a boot sector"},
		{"tiny core", images(512), 1, 2048, "only 512 bytes"},
		{"large core", images(maxCore + 1), 1, 2048, "GRUB can load"},
		{"no room", images(3 * 512), 1, 3, "needs 3 sectors"},
		{"sector 0", images(1000), 0, 2048, "needs 2 sectors"},
		{"end before first", images(1000), 9, 8, "needs 2 sectors"},
	} {
		b := &buffer{make([]byte, 1<<20)}
		err := Install(b, tc.img, tc.first, tc.end)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		if !bytes.Equal(b.b, make([]byte, 1<<20)) {
			t.Errorf("%s: the disk was written to", tc.name)
		}
	}
	if err := Install(&buffer{make([]byte, 1<<20)}, images(2*512), 1, 3); err != nil {
		t.Errorf("a core image that just fits: %v", err)
	}
}

func TestFindNamesThePackage(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	o := CoreOptions{BuildRoot: root, Platform: BIOS, Filesystem: "ext4"}
	err := o.Find()
	if err == nil || !strings.Contains(err.Error(), "boot.img") || !strings.Contains(err.Error(), "grub-pc-bin") {
		t.Errorf("an empty build root: error %v", err)
	}
	dir := filepath.Join(root, "usr/lib/grub/i386-pc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range append([]string{"boot.img", "kernel.img", "diskboot.img"}, moduleFiles(o.required())...) {
		if f == "ext2.mod" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Find(); err == nil || !strings.Contains(err.Error(), "ext2.mod") {
		t.Errorf("without ext2.mod: error %v", err)
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	o := CoreOptions{
		BuildRoot: "/", Platform: BIOS, Filesystem: "ext4", UUID: "6f0e0d3c-1111-4a4a-8b8b-0123456789ab", Prefix: "/boot/grub2", Scratch: t.TempDir(),
	}
	if err := o.Find(); err != nil {
		t.Skip(err)
	}
	var first *Images
	for range 2 {
		img, err := Build(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		// In the core image stands where its second sector is, one after the
		// first: what Install writes for a core image at sector 1.
		if got := binary.LittleEndian.Uint64(img.Core[firstList:]); got != 2 {
			t.Errorf("the block list of core.img starts with %d", got)
		}
		if err := Install(&buffer{make([]byte, 1<<20)}, img, 1, 2048); err != nil {
			t.Error(err)
		}
		if first != nil && !bytes.Equal(first.Core, img.Core) {
			t.Error("two core images differ")
		}
		first = img
	}
	for _, prefix := range []string{"", "boot", "/a b", "/$x"} {
		o.Prefix = prefix
		if _, err := Build(t.Context(), o); err == nil {
			t.Errorf("prefix %q was accepted", prefix)
		}
	}
}

// TestBuildUEFI makes programs for firmware, with each table and file system.
func TestBuildUEFI(t *testing.T) {
	t.Parallel()
	for _, fs := range []string{"ext4", "xfs", "btrfs", "vfat"} {
		o := CoreOptions{BuildRoot: "/", Platform: UEFI, GPT: fs != "ext4", Filesystem: fs, UUID: "ABCD-1234", Prefix: "/boot/grub2", Scratch: t.TempDir()}
		if err := o.Find(); err != nil {
			t.Skip(err)
		}
		a, err := Build(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Build(t.Context(), o)
		if err != nil || !bytes.Equal(a.Core, b.Core) || a.Boot != nil {
			t.Errorf("%s: two programs differ (%v)", fs, err)
		}
		if !bytes.HasPrefix(a.Core, []byte("MZ")) || !bytes.Contains(a.Core, []byte("search.fs_uuid ABCD-1234 root")) {
			t.Errorf("%s: not a program with its configuration", fs)
		}
	}
	o := CoreOptions{BuildRoot: "/", Platform: "sparc64-ieee1275", Filesystem: "ext4"}
	if err := o.Find(); err == nil || !strings.Contains(err.Error(), "use arm64-efi, i386-efi, i386-pc,") {
		t.Errorf("an unknown platform: %v", err)
	}
}

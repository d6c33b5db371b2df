package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/fstest"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

const testSize = 64 << 20

// program returns a program of e2fsprogs or skips the test.
func program(t testing.TB, name string) string {
	t.Helper()
	p, err := tool.Find("e2fsprogs", name)
	if err != nil {
		t.Skip(err)
	}
	return p
}

// fsck lets e2fsck look at a file system, all checksums included.
func fsck(t *testing.T, part string) {
	t.Helper()
	if out, err := exec.Command(program(t, "e2fsck"), "-fn", part).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v: %s", err, out)
	}
}

// sampleTree makes a tree of everyday files.
func sampleTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	write := func(name, data string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(data), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		write(fmt.Sprintf("usr/share/f%03d", i), strings.Repeat("x", i*37))
	}
	write("etc/hostname", "vm\n")
	if err := errors.Join(os.Link(filepath.Join(dir, "etc/hostname"), filepath.Join(dir, "etc/hardlink")), os.Symlink("usr/share", filepath.Join(dir, "link")), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	return dir
}

// try makes a file system that may be impossible, and returns the disk.
func try(t *testing.T, tree string, attributes map[string][]content.Attribute, size int64, label string) (string, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	c, err := content.Load(t.Context(), content.Options{Tree: tree, Epoch: fstest.Epoch, Attributes: attributes})
	if err == nil {
		_, err = Make(t.Context(), c, content.Target{Disk: f, Size: size, UUID: fstest.UUID, Label: label, Epoch: fstest.Epoch})
	}
	return name, err
}

func TestMake(t *testing.T) {
	t.Parallel()
	fstest.RoundTrip(t, "ext4", 200<<20, Make, fsck)
}

// TestSays looks at what the programs of ext4 say about the superblock, about
// inodes of every kind and about their times.
func TestSays(t *testing.T) {
	t.Parallel()
	debugfs, dumpe2fs := program(t, "debugfs"), program(t, "dumpe2fs")
	part, _ := fstest.Make(t, sampleTree(t), nil, testSize, Make)
	fsck(t, part)
	epoch := fmt.Sprintf("0x%08x:00000000", fstest.Epoch)
	for _, tc := range []struct {
		cmd  []string
		want []string
	}{
		{[]string{dumpe2fs, "-h"}, []string{
			fstest.UUID.String(), "a label", fstest.UUID.Derive("ext4 hash seed").String(), "Default directory hash:   half_md4", "Total journal size:       4096k", "Reserved GDT blocks:      7",
			"has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum",
		}},
		{[]string{debugfs, "-R", "stat /"}, []string{"Mode:  0555", fmt.Sprintf("User: %5d", os.Getuid()), "mtime: " + epoch}},
		{[]string{debugfs, "-R", "stat /etc/hardlink"}, []string{"Links: 2", "Mode:  0640", " ctime: " + epoch, " atime: " + epoch, "crtime: " + epoch}},
		{[]string{debugfs, "-R", "stat /usr/share"}, []string{"mtime: " + epoch, "Flags: 0x80000", "Size: 4096"}},
		{[]string{debugfs, "-R", "stat /link"}, []string{`Fast link dest: "usr/share"`}},
		{[]string{debugfs, "-R", "stat /usr/share/f299"}, []string{"Size: 11063"}},
		{[]string{debugfs, "-R", "stat /lost+found"}, []string{"Inode: 11 ", "Mode:  0700", "Size: 16384"}},
		{[]string{debugfs, "-R", "cat /etc/hostname"}, []string{"vm\n"}},
	} {
		out, err := exec.Command(tc.cmd[0], append(tc.cmd[1:], part)...).CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v", tc.cmd, err)
		}
		for _, text := range tc.want {
			if !strings.Contains(string(out), text) {
				t.Errorf("%q: %q is missing in %s", tc.cmd, text, out)
			}
		}
	}
}

// TestManyFiles has more files than the file system has inodes by default.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	const files = 6000
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
	part, c := fstest.Make(t, tree, nil, 32<<20, Make)
	fsck(t, part)
	fstest.Compare(t, part, "ext4", tree, c)
}

// TestLargeDirectory has an index of two levels, and a directory for lost files
// of its own.
func TestLargeDirectory(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	if err := os.Mkdir(filepath.Join(tree, lostAndFound), 0o750); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("é", 121)
	for i := range (blockSize-rootAt)/indexSize*16 + 100 {
		if err := os.Symlink("x", filepath.Join(tree, fmt.Sprintf("%d%s", i, long))); err != nil {
			t.Fatal(err)
		}
	}
	part, _ := fstest.Make(t, tree, nil, testSize, Make)
	fsck(t, part)
	out, err := exec.Command(program(t, "debugfs"), "-R", "htree_dump /", part).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Indirect levels: 1") {
		t.Errorf("%v: %.500s", err, out)
	}
}

// TestPieces has files in so many pieces that their lists are trees.
func TestPieces(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	for name, pieces := range map[string]int64{"one": inodeExtents, "two": inodeExtents + 1, "three": inodeExtents*blockExtents + 1} {
		f, err := os.Create(filepath.Join(tree, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for i := range pieces {
			if _, err := f.WriteAt([]byte{1}, i*2*content.HoleSize); err != nil {
				t.Fatal(err)
			}
		}
	}
	part, c := fstest.Make(t, tree, nil, 256<<20, Make)
	fsck(t, part)
	fstest.Compare(t, part, "ext4", tree, c)
}

// TestLargeFile has a file that is larger than 32 bits count.
func TestLargeFile(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	f, err := os.Create(filepath.Join(tree, "f"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("end"), 5<<30)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	part, _ := fstest.Make(t, tree, nil, MinSize, Make)
	fsck(t, part)
	out, err := exec.Command(program(t, "debugfs"), "-R", "stat /f", part).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Size: 5368709123") || !strings.Contains(string(out), "(1310720):") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestSizes makes empty file systems of many sizes, with and without a last
// group that is too short.
func TestSizes(t *testing.T) {
	t.Parallel()
	dumpe2fs := program(t, "dumpe2fs")
	tree := t.TempDir()
	for _, size := range []int64{
		MinSize, MinSize + 5*blockSize, 128<<20 - blockSize, 128 << 20, 128<<20 + 30*blockSize, 128<<20 + 700*blockSize,
		500 << 20, 1 << 30, 2 << 30, 2<<30 + 100<<20, 3<<30 + 17*blockSize, 17 << 30, 200 << 30,
	} {
		part, _ := fstest.Make(t, tree, nil, size, Make)
		fsck(t, part)
		out, err := exec.Command(dumpe2fs, part).CombinedOutput()
		if err != nil || strings.Contains(strings.ToLower(string(out)), "checksum error") {
			t.Errorf("dumpe2fs: %v: %s", err, out)
		}
	}
}

// TestPlan looks for parts that lie on each other in file systems of all sizes.
func TestPlan(t *testing.T) {
	t.Parallel()
	for size := int64(MinSize); size < 100<<40; size += size/7 + 12345 {
		for _, inodes := range []int64{0, size / 5000} {
			g, err := plan(size, inodes)
			if err != nil {
				t.Fatal(err)
			}
			for n := range min(g.groups, 3*maxFlex) {
				if n%g.flex == 0 && g.firstFree(n) > g.groupLen(n) {
					t.Fatalf("%d bytes, %d inodes: group %d needs %d blocks for itself and has %d", size, inodes, n, g.firstFree(n), g.groupLen(n))
				}
			}
			if g.free() <= 0 || g.inodesPerGroup*g.groups < inodes || g.blocks*blockSize > size {
				t.Errorf("%d bytes, %d inodes: %+v", size, inodes, g)
			}
		}
	}
}

// TestSameBytes makes the file system of two copies of a tree that differ in
// what a copy may lose.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	var sums []string
	for i := range 2 {
		tree := sampleTree(t)
		old, late := time.Unix(fstest.Epoch-int64(i), 0), time.Unix(fstest.Epoch+int64(i), 0)
		if err := errors.Join(os.Chtimes(filepath.Join(tree, "usr"), old, old), os.Chtimes(filepath.Join(tree, "etc/hostname"), old, late)); err != nil {
			t.Fatal(err)
		}
		name, err := try(t, tree, nil, testSize, "")
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, fstest.Sum(t, name))
	}
	if sums[0] != sums[1] {
		t.Error("two copies of one tree give different file systems")
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "big"), bytes.Repeat([]byte("data"), testSize/4), 0o600); err != nil {
		t.Fatal(err)
	}
	name, err := try(t, tree, nil, testSize, "")
	var small *content.TooSmallError
	if !errors.As(err, &small) || small.Available != testSize || small.Needed < testSize || !strings.Contains(err.Error(), "64 MiB") {
		t.Fatalf("error %v", err)
	}
	// Nothing was written: the size was known to be too small before.
	if data, err := os.ReadFile(name); err != nil || !bytes.Equal(data, make([]byte, len(data))) {
		t.Errorf("the disk was written to (%v)", err)
	}
	// What it asks for is enough.
	if _, err := try(t, tree, nil, small.Needed, ""); err != nil {
		t.Errorf("with the size that was asked for: %v", err)
	}
	if _, err := try(t, t.TempDir(), nil, MinSize-1, ""); err == nil || !strings.Contains(err.Error(), "make it at least 16777216") {
		t.Errorf("too small: error %v", err)
	}
	if _, err := try(t, t.TempDir(), nil, testSize, "a label of seventeen"); err == nil || !strings.Contains(err.Error(), "16 bytes") {
		t.Errorf("long label: error %v", err)
	}
	huge := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(huge, "f"), nil, 0o600), os.Truncate(filepath.Join(huge, "f"), maxFileBlocks*blockSize)); err == nil {
		if _, err := try(t, huge, nil, testSize, ""); err != nil {
			t.Errorf("the largest file: error %v", err)
		}
	}
}

// TestHashName compares hashes with those of debugfs.
func TestHashName(t *testing.T) {
	t.Parallel()
	debugfs := program(t, "debugfs")
	seed := hashSeed(fstest.UUID)
	for _, name := range []string{"a", "lost+found", "libc.so.6", strings.Repeat("long name ", 25), "f\u00fcr-\u20ac", strings.Repeat("x", 32), strings.Repeat("y", 33)} {
		cmd := exec.Command(debugfs, "-R", fmt.Sprintf("dx_hash -h half_md4 -s %s %q", fstest.UUID.Derive("ext4 hash seed"), name))
		out, err := cmd.CombinedOutput()
		if want := fmt.Sprintf("is 0x%x ", hashName(name, seed)); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v: %s is not %s", name, err, out, want)
		}
	}
}

// TestTimes goes through the corners of the 34 bits of a time.
func TestTimes(t *testing.T) {
	t.Parallel()
	for in, want := range map[int64]int64{0: 0, 1: 1, -1: -1, -1 << 31: -1 << 31, 1<<31 - 1: 1<<31 - 1, 1 << 31: 1 << 31, 1<<32 + 5: 1<<32 + 5, 1 << 40: 1<<34 - 1<<31 - 1, -1 << 40: -1 << 31} {
		b := make([]byte, inodeSize)
		setTime(b, inMtime, inMtimeExtra, in)
		if got := int64(int32(le.Uint32(b[inMtime:]))) + int64(le.Uint32(b[inMtimeExtra:])&3)<<32; got != want {
			t.Errorf("%d reads as %d", in, got)
		}
	}
}

func TestDevice(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ major, minor, first, second uint32 }{{1, 3, 0x103, 0}, {255, 255, 0xffff, 0}, {8, 256, 0, 0x100800}, {259, 0, 0, 0x10300}, {5, 300, 0, 0x10052c}} {
		b := make([]byte, dataSize)
		if device(b, tc.major, tc.minor); le.Uint32(b) != tc.first || le.Uint32(b[4:]) != tc.second {
			t.Errorf("%d:%d is %#x, %#x", tc.major, tc.minor, le.Uint32(b), le.Uint32(b[4:]))
		}
	}
}

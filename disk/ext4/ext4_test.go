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

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

const (
	testOffset = 1 << 20
	testSize   = 64 << 20
	testEpoch  = 1700000000
)

var testUUID = func() disk.UUID {
	u, err := disk.ParseUUID("6f0e0d3c-1111-4a4a-8b8b-0123456789ab")
	if err != nil {
		panic(err)
	}
	return u
}()

// program returns a program of e2fsprogs or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	p, err := tool.Find("e2fsprogs", name)
	if err != nil {
		t.Skip(err)
	}
	return p
}

func sampleTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	write := func(name, content string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		write(fmt.Sprintf("usr/share/f%03d", i), strings.Repeat("x", i*37))
	}
	write("etc/hostname", "vm\n")
	if err := os.Link(filepath.Join(dir, "etc/hostname"), filepath.Join(dir, "etc/hardlink")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("usr/share", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	return dir
}

// emptyDisk makes the file that a file system goes into.
func emptyDisk(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, testOffset+testSize+1000); err != nil {
		t.Fatal(err)
	}
	return name
}

// testOptions are Options whose content is loaded by build.
type testOptions struct {
	Options
	Tree       string
	Attributes map[string][]content.Attribute
}

func options(t *testing.T, tree string) testOptions {
	t.Helper()
	return testOptions{Tree: tree, Options: Options{
		Disk: emptyDisk(t), Offset: testOffset, Size: testSize + 1000,
		UUID: testUUID, Label: "root", Epoch: testEpoch, Scratch: t.TempDir(),
	}}
}

// build loads the content and makes the file system.
func build(t *testing.T, o testOptions) ([]Warning, error) {
	t.Helper()
	c, err := content.Load(t.Context(), content.Options{Tree: o.Tree, Epoch: o.Epoch, Attributes: o.Attributes})
	if err != nil {
		return nil, err
	}
	var warnings []Warning
	for _, w := range c.Warnings {
		warnings = append(warnings, Warning(w))
	}
	o.Content = c
	more, err := Make(t.Context(), o.Options)
	return append(warnings, more...), err
}

func TestMake(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	e2fsck, debugfs, dumpe2fs := program(t, "e2fsck"), program(t, "debugfs"), program(t, "dumpe2fs")
	o := options(t, sampleTree(t))
	if _, err := build(t, o); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(o.Scratch); len(left) > 0 {
		t.Errorf("%s is left in the scratch directory", left[0].Name())
	}
	data, err := os.ReadFile(o.Disk)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != testOffset+testSize+1000 || !bytes.Equal(data[:testOffset], make([]byte, testOffset)) || !bytes.Equal(data[testOffset+testSize:], make([]byte, 1000)) {
		t.Error("bytes outside of the file system were changed")
	}
	part := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(part, data[testOffset:testOffset+testSize], 0o600); err != nil {
		t.Fatal(err)
	}
	// e2fsck verifies all checksums, those of the changed places included.
	if out, err := exec.Command(e2fsck, "-fn", part).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v: %s", err, out)
	}
	for _, tc := range []struct {
		cmd  []string
		want []string
	}{
		{[]string{dumpe2fs, "-h"}, []string{testUUID.String(), "root", "has_journal", "metadata_csum", testUUID.Derive("ext4 hash seed").String()}},
		{[]string{debugfs, "-R", "stat /"}, []string{"Mode:  0555", fmt.Sprintf("User: %5d", os.Getuid()), "mtime: 0x6553f100:00000000"}},
		{[]string{debugfs, "-R", "stat /etc/hardlink"}, []string{"Links: 2", "Mode:  0640", " ctime: 0x6553f100:00000000", " atime: 0x6553f100:00000000", "crtime: 0x6553f100:00000000"}},
		{[]string{debugfs, "-R", "stat /usr/share"}, []string{"mtime: 0x6553f100:00000000"}},
		{[]string{debugfs, "-R", "stat /link"}, []string{`Fast link dest: "usr/share"`}},
		{[]string{debugfs, "-R", "stat /usr/share/f299"}, []string{"Size: 11063"}},
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
		if strings.Contains(string(out), "Lifetime writes") {
			t.Errorf("%q: the count of kilobytes written is not zero: %s", tc.cmd, out)
		}
	}
}

// TestCopies looks at the copies of the superblock in other groups.
func TestCopies(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	dumpe2fs := program(t, "dumpe2fs")
	o := options(t, sampleTree(t))
	o.Offset, o.Size = 0, 500<<20
	if err := os.Truncate(o.Disk, o.Size); err != nil {
		t.Fatal(err)
	}
	if _, err := build(t, o); err != nil {
		t.Fatal(err)
	}
	for _, g := range []int{1, 3} {
		out, err := exec.Command(dumpe2fs, "-h", "-o", fmt.Sprintf("superblock=%d", g*32768), "-o", "blocksize=4096", o.Disk).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Block count:              128000") ||
			strings.Contains(string(out), "Lifetime writes") || strings.Contains(strings.ToLower(string(out)), "checksum error") {
			t.Errorf("group %d: %v: %s", g, err, out)
		}
	}
}

// TestSameBytes makes the file system twice, from two copies of the tree.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	var first []byte
	for i := range 2 {
		tree := sampleTree(t)
		// Access times before and after the epoch, modification times after.
		for name, atime := range map[string]int64{"etc": testEpoch - 5, "usr/share/f001": testEpoch - 7, "etc/hostname": testEpoch + 9} {
			if name == "etc" {
				// What a layer may lose.
				old := time.Unix(testEpoch-int64(i), 0)
				if err := os.Chtimes(filepath.Join(tree, "usr"), old, old); err != nil {
					t.Fatal(err)
				}
			}
			at, mod := time.Unix(atime*int64(1-i), 0), time.Unix(testEpoch+int64(i), 0)
			if err := os.Chtimes(filepath.Join(tree, name), at, mod); err != nil {
				t.Fatal(err)
			}
		}
		o := options(t, tree)
		if _, err := build(t, o); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(o.Disk)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		} else if !bytes.Equal(first, data) {
			t.Error("two copies of one tree give different file systems")
		}
	}
}

func TestTooSmall(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	tree := t.TempDir()
	big := filepath.Join(tree, "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("data"), testSize/4), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t, tree)
	_, err := build(t, o)
	var small *content.TooSmallError
	if !errors.As(err, &small) || small.Available != o.Size || small.Needed < testSize || !strings.Contains(err.Error(), "64 MiB") {
		t.Fatalf("error %v", err)
	}
	// Nothing was written: the size was known to be too small before.
	data, err := os.ReadFile(o.Disk)
	if err != nil || !bytes.Equal(data, make([]byte, len(data))) {
		t.Errorf("the disk was written to (%v)", err)
	}
	// What only mke2fs finds out comes as the same error.
	_, err = tool.Run(t.Context(), nil, "/bin/sh", "-c", "echo 'mke2fs: Could not allocate block in ext2 filesystem while populating file system'; exit 1")
	if err := o.explain(content.Usage{Blocks: 10}, err); !errors.As(err, &small) || small.Needed <= o.Size {
		t.Errorf("explained as %v", err)
	}
	_, err = tool.Run(t.Context(), nil, "/bin/sh", "-c", "echo 'No space left on device'; exit 1")
	if err := o.explain(content.Usage{}, err); errors.As(err, &small) && small == nil || !strings.Contains(err.Error(), "builder") {
		t.Errorf("explained as %v", err)
	}
	o.Size = 1 << 20
	if _, err := build(t, o); err == nil || !strings.Contains(err.Error(), "too small") {
		t.Errorf("1 MiB: error %v", err)
	}
	o.Size, o.Label = testSize, "a label of seventeen"
	if _, err := build(t, o); err == nil || !strings.Contains(err.Error(), "16 bytes") {
		t.Errorf("long label: error %v", err)
	}
}

// TestManyFiles has more files than the file system has inodes by default.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	tree := t.TempDir()
	for i := range testSize/inodeRatio + 100 {
		if err := os.WriteFile(filepath.Join(tree, fmt.Sprintf("f%d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := build(t, options(t, tree)); err != nil {
		t.Error(err)
	}
}

func TestSuperblockGroups(t *testing.T) {
	t.Parallel()
	for groups, want := range map[int64]string{
		1: "[0]", 2: "[0 1]", 3: "[0 1]", 4: "[0 1 3]", 9: "[0 1 3 5 7]", 10: "[0 1 3 9 5 7]", 50: "[0 1 3 9 27 5 25 7 49]",
	} {
		if got := fmt.Sprint(superblockGroups(groups)); got != want {
			t.Errorf("%d groups: got %s, want %s", groups, got, want)
		}
	}
}

func TestNormalizeRejects(t *testing.T) {
	t.Parallel()
	name := emptyDisk(t)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Normalize(f, 0, Root{}, 1); err == nil || !strings.Contains(err.Error(), "no ext4 superblock") {
		t.Errorf("zeros: error %v", err)
	}
	if err := Normalize(f, 1<<40, Root{}, 1); err == nil {
		t.Error("behind the end: no error")
	}
	sb := make([]byte, sbSize)
	le.PutUint16(sb[sbMagic:], 0xef53)
	for _, tc := range []struct {
		want string
		set  func()
	}{
		{"4 KiB", func() {}},
		{"damaged", func() { le.PutUint32(sb[sbLogBlockSize:], 2); le.PutUint32(sb[sbROCompat:], roSparse) }},
		{"inodes of 0 bytes", func() { le.PutUint32(sb[sbPerGroup:], 9); le.PutUint32(sb[sbBlocksLo:], 9) }},
		{"0 in each of 1 groups", func() { le.PutUint16(sb[sbInodeSize:], 256) }},
		{"not a directory", func() { le.PutUint32(sb[sbInodes:], 100) }},
	} {
		tc.set()
		if _, err := f.WriteAt(sb, sbSize); err != nil {
			t.Fatal(err)
		}
		if err := Normalize(f, 0, Root{}, 1); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error %v, want %q", err, tc.want)
		}
	}
}

// TestTimes goes through the corners of the 34 bits of a time.
func TestTimes(t *testing.T) {
	t.Parallel()
	for _, want := range []int64{0, 1, testEpoch, -1, -1 << 31, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<34 - 1<<31 - 1} {
		inode := make([]byte, 256)
		le.PutUint16(inode[inExtraSize:], 32)
		setTime(inode, inMtime, inMtimeExtra, want)
		if got := getTime(inode, inMtime, inMtimeExtra); got != want {
			t.Errorf("%d reads as %d", want, got)
		}
	}
}

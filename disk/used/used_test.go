package used

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/btrfs"
	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/erofs"
	"github.com/osbuildkit/osbuildkit/disk/ext4"
	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/internal/fstest"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
	"github.com/osbuildkit/osbuildkit/disk/swap"
	"github.com/osbuildkit/osbuildkit/disk/vfat"
	"github.com/osbuildkit/osbuildkit/disk/xfs"
)

// scramble fills whatever is not in use with noise, unless it is not zero, as
// one who decrypts an image finds it, and returns the bytes in use.
func scramble(t *testing.T, part, kind string) (inUse int64) {
	t.Helper()
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	list, err := Ranges(f, kind, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		inUse += r.End - r.Start
	}
	zero, noise, b := make([]byte, 512), bytes.Repeat([]byte{0xa5, 0x5a, 0x17}, 171)[:512], make([]byte, 1<<20)
	for _, r := range without(list, st.Size()) {
		for at := (r.Start + 511) / 512 * 512; at+512 <= r.End; at += int64(len(b)) {
			n := min(int64(len(b)), r.End-at) &^ 511
			if _, err := f.ReadAt(b[:n], at); err != nil {
				t.Fatal(err)
			}
			for i := int64(0); i < n; i += 512 {
				if bytes.Equal(b[i:i+512], zero) {
					copy(b[i:], noise)
				}
			}
			if _, err := f.WriteAt(b[:n], at); err != nil {
				t.Fatal(err)
			}
		}
	}
	return inUse
}

// check runs a program that must find nothing wrong.
func check(t *testing.T, pkg, name string, args ...string) {
	t.Helper()
	program, err := tool.Find(pkg, name)
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", name, err, out)
	}
}

// TestFreeSpace makes file systems, puts noise into all that is said to be free,
// and looks whether anybody notices.
func TestFreeSpace(t *testing.T) {
	t.Parallel()
	const size = 160 << 20
	for _, tc := range []struct {
		kind    string
		make    func(context.Context, *content.Tree, content.Target) ([]string, error)
		most    int64
		pkg     string
		program []string
	}{
		{"xfs", xfs.Make, 40 << 20, "xfsprogs", []string{"xfs_repair", "-n"}},
		{"ext4", ext4.Make, 40 << 20, "e2fsprogs", []string{"e2fsck", "-fn"}},
		{"btrfs", btrfs.Make, 130 << 20, "btrfs-progs", []string{"btrfs", "check", "--check-data-csum"}},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			t.Parallel()
			tree := fstest.Tree(t)
			part, c := fstest.Make(t, tree, nil, size, tc.make)
			if n := scramble(t, part, tc.kind); n > tc.most {
				t.Errorf("%d bytes are in use, want at most %d", n, tc.most)
			}
			check(t, tc.pkg, tc.program[0], append(tc.program[1:], part)...)
			fstest.Compare(t, part, tc.kind, tree, c)
		})
	}
	for _, size := range []int64{20 << 20, 100 << 20} {
		t.Run(fmt.Sprint("vfat ", size), func(t *testing.T) {
			t.Parallel()
			tree := t.TempDir()
			for i := range 50 {
				if err := os.WriteFile(filepath.Join(tree, fmt.Sprint(i)), bytes.Repeat([]byte{0, byte(i)}, i*1000), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			// Make gives the file system a sector more than there is.
			part, _ := fstest.Make(t, tree, nil, size, vfat.Make)
			if err := os.Truncate(part, size+512); err != nil {
				t.Fatal(err)
			}
			if n := scramble(t, part, "vfat"); n > 8<<20 {
				t.Errorf("%d bytes are in use", n)
			}
			check(t, "dosfstools", "fsck.vfat", "-n", part)
			compareFiles(t, part, tree)
		})
	}
}

// compareFiles reads each regular file of a file system.
func compareFiles(t *testing.T, part, tree string) {
	t.Helper()
	f, err := os.Open(part)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	made, err := fsread.Open(nil, f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(tree, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		want, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		number, _, err := fsread.Lookup(made, strings.TrimPrefix(name, tree), false)
		if err != nil {
			return err
		}
		src, size, err := made.Open(number)
		if err != nil {
			return err
		}
		if got, err := io.ReadAll(io.NewSectionReader(src, 0, size)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs, %v", name, err)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

// TestExt4 makes file systems of many forms with mke2fs.
func TestExt4(t *testing.T) {
	t.Parallel()
	mke2fs, err := tool.Find("e2fsprogs", "mke2fs")
	if err != nil {
		t.Skip(err)
	}
	tree := fstest.Tree(t)
	for name, args := range map[string][]string{
		"lazy":         {"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-d", tree, "F", "150M"},
		"whole":        {"-E", "lazy_itable_init=0,nodiscard", "-d", tree, "F", "150M"},
		"small blocks": {"-b", "1024", "-E", "lazy_itable_init=1,nodiscard", "-d", tree, "F", "150M"},
		"old":          {"-O", "^metadata_csum,^uninit_bg,^64bit,^flex_bg", "-d", tree, "F", "150M"},
		"sparse2":      {"-O", "sparse_super2", "-E", "lazy_itable_init=1", "-d", tree, "F", "150M"},
		"meta groups":  {"-O", "meta_bg,^resize_inode", "-d", tree, "F", "150M"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part := filepath.Join(t.TempDir(), "part")
			args[len(args)-2] = part
			if out, err := exec.Command(mke2fs, append([]string{"-q", "-F", "-t", "ext4"}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			most := int64(120 << 20)
			if name == "meta groups" {
				most = 300 << 20 // not known
			}
			if n := scramble(t, part, "ext4"); n > most || n < 4<<20 {
				t.Errorf("%d bytes are in use", n)
			}
			check(t, "e2fsprogs", "e2fsck", "-fn", part)
			if name != "meta groups" {
				compareFiles(t, part, tree)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	part, _ := fstest.Make(t, t.TempDir(), nil, 1<<20, swap.Make)
	f, err := os.Open(part)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := Ranges(f, "swap", 1<<20); err != nil || fmt.Sprint(got) != "[{0 4096}]" {
		t.Errorf("swap: %v, %v", got, err)
	}
	part, _ = fstest.Make(t, fstest.Tree(t), nil, 64<<20, erofs.Make)
	e, err := os.Open(part)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got, err := Ranges(e, "erofs", 64<<20); err != nil || len(got) != 1 || got[0].Start != 0 || got[0].End < 2<<20 || got[0].End > 40<<20 {
		t.Errorf("erofs: %v, %v", got, err)
	}
	// What is not known is in use.
	for _, kind := range []string{"ext4", "xfs", "btrfs", "vfat", "erofs", "zfs"} {
		for _, r := range []io.ReaderAt{f, strings.NewReader(""), strings.NewReader(strings.Repeat("\xff", 1<<18))} {
			if got, err := Ranges(r, kind, 1<<20); err != nil || fmt.Sprint(got) != "[{0 1048576}]" {
				t.Errorf("%s: %v, %v", kind, got, err)
			}
		}
	}
	if got := Merge([]Range{{5, 9}, {-3, 2}, {8, 20}, {2, 3}, {30, 30}}, 15); fmt.Sprint(got) != "[{0 3} {5 15}]" {
		t.Errorf("%v", got)
	}
	if got := subtract([]Range{{0, 10}, {20, 30}}, []Range{{2, 4}, {9, 22}, {25, 26}, {29, 40}}); fmt.Sprint(got) != "[{0 2} {4 9} {22 25} {26 29}]" {
		t.Errorf("%v", got)
	}
}

// FuzzRanges changes bytes of superblocks and trees.
func FuzzRanges(f *testing.F) {
	f.Add(0, []byte{0, 0, 0, 1, 2, 3})
	f.Add(1, []byte{1, 0, 88, 9, 9, 9})
	disks := map[string][]byte{}
	kinds := []string{"xfs", "btrfs", "vfat", "ext4"}
	for kind, write := range map[string]func(context.Context, *content.Tree, content.Target) ([]string, error){"xfs": xfs.Make, "btrfs": btrfs.Make, "vfat": vfat.Make, "ext4": ext4.Make} {
		name := filepath.Join(f.TempDir(), kind)
		to, err := os.Create(name)
		if err != nil {
			f.Fatal(err)
		}
		if err := to.Truncate(128 << 20); err != nil {
			f.Fatal(err)
		}
		c, err := content.Load(f.Context(), content.Options{Tree: f.TempDir(), Epoch: 1})
		if err != nil {
			f.Fatal(err)
		}
		if _, err := write(f.Context(), c, content.Target{Disk: to, Size: 128 << 20, UUID: fstest.UUID}); err != nil {
			f.Fatal(err)
		}
		to.Close()
		if disks[kind], err = os.ReadFile(name); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, n int, edits []byte) {
		kind := kinds[uint(n)%4]
		d := bytes.Clone(disks[kind][:2<<20])
		for ; len(edits) >= 4; edits = edits[4:] {
			d[(int(edits[0])<<16|int(edits[1])<<8|int(edits[2]))%len(d)] = edits[3]
		}
		list, err := Ranges(bytes.NewReader(d), kind, 128<<20)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(0)
		for _, r := range list {
			if r.Start < at || r.End <= r.Start || r.End > 128<<20 {
				t.Errorf("%v", list)
			}
			at = r.End
		}
	})
}

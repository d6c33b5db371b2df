package xfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/fstest"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

// mkfsOptions make a mkfs.xfs of today give what that of a profile's time gave
// by default.
var mkfsOptions = map[content.Profile][]string{
	content.EL7: {"-m", "crc=1,finobt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0"},
	content.EL8: {"-m", "crc=1,finobt=1,reflink=1,bigtime=0,inobtcount=0", "-i", "sparse=1"},
	content.EL9: {"-m", "crc=1,finobt=1,reflink=1,bigtime=1,inobtcount=1", "-i", "sparse=1"},
}

// withoutAttr drops the mark that some file has extended attributes, which an
// empty file system lacks.
var withoutAttr = strings.NewReplacer("NLINK,DIRV2,ATTR,", "NLINK,DIRV2,", "0xb4b5", "0xb4a5")

// TestProfiles makes the file system of each profile: it has the features of
// mkfs.xfs of its time, and xfs_repair, the kernel and GRUB read it.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for p, options := range mkfsOptions {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			make := fstest.For(p, Make)
			tree := fstest.Tree(t)
			part, _ := fstest.Make(t, tree, fstest.Attributes(), 200<<20, make)
			if got, want := features(t, part), features(t, mkfs(t, options)); withoutAttr.Replace(got) != want {
				t.Errorf("features\n%s\nwant\n%s", got, want)
			}
			fstest.GRUBReads(t, part, tree)
			if p != content.DefaultProfile { // which TestMake tries
				fstest.RoundTrip(t, "xfs", 200<<20, make, repair)
			}
		})
	}
}

// TestProfileInodes has trees of inodes with two levels and no gap before the
// inodes, and a group without a free block.
func TestProfileInodes(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	for i := range 12000 {
		dir := filepath.Join(tree, string(rune('a'+i/1000)))
		if i%1000 == 0 {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("n", i%200+1)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int64{MinSize, 3<<30 + 17*blockSize} {
		part, c := fstest.Make(t, tree, nil, size, fstest.For(content.EL7, Make))
		repair(t, part)
		fstest.Compare(t, part, "xfs", tree, c)
	}
}

// mkfs makes a file system with the machine's mkfs.xfs.
func mkfs(t *testing.T, options []string) string {
	t.Helper()
	program, err := tool.Find("xfsprogs", "mkfs.xfs")
	if err != nil {
		t.Skip(err)
	}
	name := filepath.Join(t.TempDir(), "mkfs")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 400<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, append(options, "-q", name)...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.xfs: %v: %s", err, out)
	}
	return name
}

// features returns what xfs_db says of the features of a file system.
func features(t *testing.T, part string) string {
	t.Helper()
	program, err := tool.Find("xfsprogs", "xfs_db")
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(program, "-r", "-c", "version", "-c", "sb 0", "-c", "print", part).Output()
	if err != nil {
		t.Fatalf("xfs_db: %v", err)
	}
	return strings.Join(regexp.MustCompile(`(?m)^(versionnum|features\S*|bad_features2|inoalignmt|spino_align|inodesize|blocksize|dirblklog|imax_pct|flags|qflags|unit|width) .*`).FindAllString(string(out), -1), "\n")
}

package ext4

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/fstest"
)

// mkfsFeatures make a mke2fs of today give what that of a profile's time gave by
// default.
var mkfsFeatures = map[content.Profile]string{
	content.EL7: "^metadata_csum,^metadata_csum_seed,^orphan_file,uninit_bg",
	content.EL8: "metadata_csum,^metadata_csum_seed,^orphan_file",
	content.EL9: "metadata_csum,^metadata_csum_seed,^orphan_file",
}

// TestProfiles makes the file system of each profile: it has the features of
// mke2fs of its time, and e2fsck, the kernel and GRUB read it.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for p, options := range mkfsFeatures {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			make := fstest.For(p, Make)
			tree := fstest.Tree(t)
			part, _ := fstest.Make(t, tree, fstest.Attributes(), 200<<20, make)
			if got, want := features(t, part), features(t, mkfs(t, options)); got != want {
				t.Errorf("features\n%s\nwant\n%s", got, want)
			}
			fstest.GRUBReads(t, part, tree)
			if p == content.EL7 { // the others are the same, and TestMake tries them
				fstest.RoundTrip(t, "ext4", 200<<20, make, fsck)
			}
		})
	}
}

// TestProfileSizes makes file systems without checksums of metadata of many
// sizes, whose groups are described with the older checksum.
func TestProfileSizes(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{MinSize, 128<<20 + 700*blockSize, 3<<30 + 17*blockSize, 17 << 30} {
		part, _ := fstest.Make(t, t.TempDir(), nil, size, fstest.For(content.EL7, Make))
		fsck(t, part)
	}
}

func mkfs(t *testing.T, options string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mkfs")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 200<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program(t, "mke2fs"), "-q", "-t", "ext4", "-b", "4096", "-O", options, name).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	return name
}

// features returns what dumpe2fs says of the features of a file system.
func features(t *testing.T, part string) string {
	t.Helper()
	out, err := exec.Command(program(t, "dumpe2fs"), "-h", part).Output()
	if err != nil {
		t.Fatalf("dumpe2fs: %v", err)
	}
	return strings.Join(regexp.MustCompile(`(?m)^(Filesystem features|Checksum type|Inode size|Required extra isize|Default directory hash): .*`).FindAllString(string(out), -1), "\n")
}

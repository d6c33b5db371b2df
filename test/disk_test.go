//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkers are the programs that look at a file system and change nothing.
var checkers = map[string][]string{
	"ext4": {"e2fsck", "-fn"}, "xfs": {"xfs_repair", "-n"}, "btrfs": {"btrfs", "check", "--readonly"}, "vfat": {"fsck.vfat", "-n"}, "erofs": {"fsck.erofs"},
}

// checkDisk verifies the partition table and every file system of a raw disk.
func checkDisk(t *testing.T, image string) {
	t.Helper()
	if out := output(t, "sfdisk", "--verify", image); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk --verify: %s", out)
	}
	var table struct {
		PartitionTable struct {
			Partitions []struct{ Start, Size int64 }
		}
	}
	if err := json.Unmarshal([]byte(output(t, "sfdisk", "--json", image)), &table); err != nil {
		t.Fatal(err)
	}
	for i, q := range table.PartitionTable.Partitions {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("part%d", i+1))
		copyRange(t, image, name, q.Start*512, q.Size*512)
		kind := strings.TrimSpace(output(t, "sh", "-c", "blkid -p -o value -s TYPE "+name+" || true"))
		check, ok := checkers[kind]
		if !ok {
			continue
		}
		if out, err := exec.Command(check[0], append(check[1:], name)...).CombinedOutput(); err != nil {
			t.Errorf("partition %d: %s: %v: %s", i+1, strings.Join(check, " "), err, out)
		}
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// copyRange copies a part of a file.
func copyRange(t *testing.T, from, to string, offset, size int64) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Truncate(size); err != nil {
		t.Fatal(err)
	}
	buf, zero := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(buf)) {
		n, err := io.ReadFull(io.NewSectionReader(in, offset+at, size-at), buf[:min(int64(len(buf)), size-at)])
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) == string(zero[:n]) {
			continue
		}
		if _, err := out.WriteAt(buf[:n], at); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskSameBytes makes disks in two stores: one that boots, and one with all
// file systems, which their programs look at.
func TestDiskSameBytes(t *testing.T) {
	need(t, "e2fsck", "xfs_repair", "btrfs", "fsck.vfat", "fsck.erofs", "sfdisk")
	stores := []string{"", t.TempDir()}
	for name, m := range map[string]object{"disk.img": bootCases()[0].manifest(), "all.raw": allFilesystems()} {
		var sums []string
		for _, store := range stores {
			dir := t.TempDir()
			args := []string{"-o", dir, manifestFile(t, "disk.json", m)}
			if store != "" {
				args = append(args, "--store", store)
			}
			build(t, args...)
			sums = append(sums, sha256File(t, filepath.Join(dir, name)))
			if name == "all.raw" && store == "" {
				checkDisk(t, filepath.Join(dir, name))
			}
		}
		if sums[0] != sums[1] {
			t.Errorf("%s: two builds give %s and %s", name, sums[0], sums[1])
		}
	}
}

// allFilesystems is a tree split over all kinds of file systems. Nothing boots
// from it.
func allFilesystems() object {
	return object{
		"stages": []any{bootstrap(), stage("org.osbuild.hostname", object{"hostname": "parts"})},
		"assembler": stage("org.osbuild.qemu", object{
			"format": "raw", "filename": "all.raw", "pttype": "gpt", "size": 2 << 30, "ptuuid": gptID,
			"partitions": []object{
				partition(1<<16, typeESP, filesystem("vfat", "", "/boot/efi")),
				partition(1<<20, "", filesystem("erofs", "", "/usr/share")),
				partition(1<<19, "", filesystem("xfs", "", "/var")),
				partition(1<<19, "", filesystem("btrfs", "", "/etc")),
				partition(1<<17, "", object{"type": "swap"}),
				partition(0, "", filesystem("ext4", "", "/")),
			},
		}),
	}
}

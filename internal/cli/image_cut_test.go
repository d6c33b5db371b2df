package cli

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/osbuildkit/osbuildkit/disk/qcow2"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

const cutUnit = 64 << 10

// An image that is cut off anywhere is read as far as it goes, or is wrong
// input: never a crash, and never a failure without a word.
func TestImagesCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, whole := range cutImages(t, dir) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(whole)
			if err != nil {
				t.Fatal(err)
			}
			checkCut(t, whole, true)
			file := filepath.Join(t.TempDir(), filepath.Base(whole))
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
			for size := (len(data) - 1) / cutUnit * cutUnit; size >= 0; size -= cutUnit {
				if err := os.Truncate(file, int64(size)); err != nil {
					t.Fatal(err)
				}
				checkCut(t, file, false)
			}
		})
	}
}

// checkCut asks all that can be asked of an image.
func checkCut(t *testing.T, file string, whole bool) {
	t.Helper()
	commands := [][]string{
		{"image", "info", "--json", file}, {"image", "info", file}, {"image", "ls", "-R", file}, {"image", "cat", file, "/etc/fstab"}, {"image", "ls", "--partition", "1", file},
	}
	for _, args := range commands {
		code, stdout, stderr := execute(t, "", args...)
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if code != 0 && (code != exitInvalid || !strings.HasPrefix(stderr, "osbuildkit: ") || len(stderr) < 20) || code == 0 && stderr != "" {
			t.Errorf("%d bytes: %v: exit code %d, %q", st.Size(), args[:3], code, stderr)
		}
		if args[2] == "--json" && !json.Valid([]byte(stdout)) {
			t.Errorf("%d bytes: %v: %q", st.Size(), args[:3], stdout)
		}
		if whole && args[1] == "info" && code != 0 {
			t.Errorf("the whole image: %v: exit code %d, %s", args, code, stderr)
		}
	}
}

// cutImages makes one small image of each kind that is read: file systems
// without a container, and disks in all containers.
func cutImages(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	tree := filepath.Join(dir, "tree/etc")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"fstab": "LABEL=x / ext4 defaults 0 1\n", "large": strings.Repeat("0123456789abcdef", 8<<10)} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) bool {
		t.Helper()
		path, err := exec.LookPath(name)
		if err != nil {
			return false
		}
		cmd := exec.Command(path, args...)
		cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, text)
		}
		return true
	}
	for name, args := range map[string]string{
		"ext2": "-t ext2", "ext3": "-t ext3", "ext4": "-t ext4 -b 4096", "bigalloc": "-t ext4 -O bigalloc -b 1024", "metabg": "-t ext4 -O meta_bg,^resize_inode", "encrypt": "-t ext4 -O encrypt",
	} {
		file := filepath.Join(dir, name)
		if run("mke2fs", append(strings.Fields(args), "-q", "-F", "-d", filepath.Join(dir, "tree"), file, "2M")...) {
			out[name] = file
		}
	}
	for name, args := range map[string]string{"fat12": "-F 12", "fat16": "-F 16 -s 1", "fat32": "-F 32 -s 1"} {
		file := filepath.Join(dir, name)
		size := map[string]string{"fat12": "1440", "fat16": "4096", "fat32": "34000"}[name]
		if run("mkfs.vfat", append(strings.Fields(args), "-C", file, size)...) && run("mcopy", "-s", "-i", file, tree, "::") {
			out[name] = file
		}
	}
	for name, magic := range map[string]struct {
		at   int
		text string
	}{
		"xfs": {0, "XFSB"}, "btrfs": {65600, "_BHRfS_M"}, "squashfs": {0, "hsqs"}, "erofs": {1024, "\xe2\xe1\xf5\xe0"},
	} {
		data := make([]byte, 256<<10)
		copy(data[magic.at:], magic.text)
		out[name] = filepath.Join(dir, name)
		if err := os.WriteFile(out[name], data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	disk := smallDisk(t, dir, run)
	if disk == "" {
		return out
	}
	out["gpt"] = disk
	addContainers(t, dir, disk, run, out)
	return out
}

// smallDisk makes a disk with a GPT, a FAT and an ext4 partition.
func smallDisk(t *testing.T, dir string, run func(string, ...string) bool) string {
	t.Helper()
	disk, esp, root := filepath.Join(dir, "gpt"), filepath.Join(dir, "esp"), filepath.Join(dir, "root")
	sfdisk, err := exec.LookPath("sfdisk")
	if err != nil || !run("mke2fs", "-q", "-F", "-t", "ext4", "-d", filepath.Join(dir, "tree"), root, "1M") ||
		!run("mkfs.vfat", "-C", esp, "512") || !run("truncate", "-s", "3M", disk) {
		return ""
	}
	cmd := exec.Command(sfdisk, "-q", disk)
	cmd.Stdin = strings.NewReader("label: gpt\nstart=512,size=1024,type=U\nstart=2048,size=2048\n")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, text)
	}
	run("dd", "if="+esp, "of="+disk, "bs=512", "seek=512", "conv=notrunc", "status=none")
	run("dd", "if="+root, "of="+disk, "bs=512", "seek=2048", "conv=notrunc", "status=none")
	return disk
}

// addContainers puts a disk into all containers that are known.
func addContainers(t *testing.T, dir, disk string, run func(string, ...string) bool, out map[string]string) {
	t.Helper()
	data, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string, write func(f *os.File) error) {
		t.Helper()
		f, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			err = write(f)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = f.Name()
	}
	for name, o := range map[string]qcow2.Options{
		"qcow2": {Compression: qcow2.None}, "qcow2-zlib": {Compression: qcow2.Zlib, Version: 2}, "qcow2-zstd": {Compression: qcow2.Zstd, ClusterSize: 64 << 10},
	} {
		create(name, func(f *os.File) error {
			src, err := os.Open(disk)
			if err != nil {
				return err
			}
			defer src.Close()
			_, err = qcow2.Write(t.Context(), f, sparse.File{File: src}, int64(len(data)), o)
			return err
		})
	}
	create("gz", func(f *os.File) error {
		z := gzip.NewWriter(f)
		_, err := z.Write(data)
		return errors.Join(err, z.Close())
	})
	create("zst", func(f *os.File) error {
		z, err := zstd.NewWriter(f)
		if err != nil {
			return err
		}
		_, err = z.Write(data)
		return errors.Join(err, z.Close())
	})
	create("tar.gz", func(f *os.File) error {
		z := gzip.NewWriter(f)
		w := tar.NewWriter(z)
		err := w.WriteHeader(&tar.Header{Name: "disk.raw", Mode: 0o644, Size: int64(len(data))})
		if err == nil {
			_, err = io.Copy(w, bytes.NewReader(data))
		}
		return errors.Join(err, w.Close(), z.Close())
	})
	xz := filepath.Join(dir, "copy")
	if err := os.WriteFile(xz, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if run("xz", "-k", xz) {
		out["xz"] = xz + ".xz"
	}
	for name, args := range map[string]string{
		"vdi": "-O vdi", "vmdk": "-O vmdk", "vmdk-stream": "-O vmdk -o subformat=streamOptimized", "vpc": "-O vpc", "vpc-fixed": "-O vpc -o subformat=fixed,force_size", "vhdx": "-O vhdx -o block_size=1M",
	} {
		file := filepath.Join(dir, name)
		if run("qemu-img", append(append([]string{"convert", "-f", "raw"}, strings.Fields(args)...), disk, file)...) {
			out[name] = file
		}
	}
}

package assemblers

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/module"
)

// formatCase is a format with its further options.
type formatCase struct {
	format  string
	options map[string]any
	qemu    string // how qemu calls it; empty where it knows none
	files   string // that there are besides disk.img
}

var formatCases = []formatCase{
	{"raw", nil, "raw", ""},
	{"raw.xz", nil, "", ""},
	{"raw.zst", nil, "", ""},
	{"gce", nil, "", ""},
	{"qcow2", nil, "qcow2", ""},
	{"qcow2", map[string]any{"compression": "none", "qcow2_compat": "1.1"}, "qcow2", ""},
	{"qcow2", map[string]any{"compression": "zlib"}, "qcow2", ""},
	{"qcow2", map[string]any{"compression": "zstd"}, "qcow2", ""},
	{"qcow2", map[string]any{"qcow2_compat": "0.10"}, "qcow2", ""},
	{"vdi", nil, "vdi", ""},
	{"vmdk", nil, "vmdk", ""},
	{"vmdk", map[string]any{"vmdk_subformat": "monolithicFlat"}, "vmdk", " disk-flat.img"},
	{"vmdk", map[string]any{"vmdk_subformat": "twoGbMaxExtentSparse"}, "vmdk", " disk-s001.img"},
	{"vmdk", map[string]any{"vmdk_subformat": "twoGbMaxExtentFlat"}, "vmdk", " disk-f001.img"},
	{"vmdk", map[string]any{"vmdk_subformat": "streamOptimized"}, "vmdk", ""},
	{"vpc", nil, "vpc", ""},
	{"vpc", map[string]any{"vpc_subformat": "dynamic"}, "vpc", ""},
	{"vhdx", nil, "vhdx", ""},
}

// TestQemuFormats makes every format of one tree and compares their content, and
// the files of two runs.
func TestQemuFormats(t *testing.T) {
	t.Parallel()
	need(t, "qemu-img", "sha256sum", "e2fsck", "sfdisk")
	tree := smallTree(t)
	raw := ""
	for _, tc := range formatCases {
		changes := map[string]any{"format": tc.format, "filename": "disk.img"}
		for k, v := range tc.options {
			changes[k] = v
		}
		out, log, err := assemble(t.Context(), t, tree, with(t, changes), "/")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := names(t, out), strings.Join(strings.Fields("SHA256SUMS"+tc.files+" disk.img"), " "); got != want {
			t.Errorf("%s: the output holds %s, want %s", tc.format, got, want)
		}
		sum := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
		sum.Dir = out
		if msg, err := sum.CombinedOutput(); err != nil {
			t.Errorf("%s: %s", tc.format, msg)
		}
		if !strings.Contains(log, "neither boot/grub2/grub.cfg nor boot/grub/grub.cfg") || !strings.Contains(log, "disk of data") {
			t.Errorf("the log does not say that there is no boot loader: %s", log)
		}
		image := filepath.Join(out, "disk.img")
		if tc.options == nil && tc.format != "raw.xz" { // which is slow, and made as raw.zst is
			again, _, err := assemble(t.Context(), t, tree, with(t, changes), "/")
			if err != nil {
				t.Fatal(err)
			}
			if a, b := read(t, filepath.Join(out, sumsFile)), read(t, filepath.Join(again, sumsFile)); !bytes.Equal(a, b) {
				t.Errorf("%s: two runs give %s and %s", tc.format, a, b)
			}
		}
		switch {
		case raw == "":
			raw = image
			checkRaw(t, image)
			continue
		case tc.qemu == "":
			if want := read(t, raw); !bytes.Equal(unpacked(t, tc.format, image), want) {
				t.Errorf("%s: the disk in it is another", tc.format)
			}
			continue
		}
		if msg, err := exec.Command("qemu-img", "check", "-q", "-f", tc.qemu, image).CombinedOutput(); err != nil && !strings.Contains(string(msg), "does not support checks") {
			t.Errorf("%s %v: %s", tc.format, tc.options, msg)
		}
		info, err := exec.Command("qemu-img", "info", "--output=json", image).Output()
		if err != nil || !strings.Contains(string(info), `"virtual-size": 67108864`) && tc.format != "vpc" {
			t.Errorf("%s: %v: %s", tc.format, err, info)
		}
		for name, want := range tc.options {
			if name == "qcow2_compat" && !strings.Contains(string(info), `"compat": "`+want.(string)+`"`) {
				t.Errorf("%v: %s", tc.options, info)
			}
			if name == "vmdk_subformat" && !strings.Contains(string(info), `"create-type": "`+want.(string)+`"`) {
				t.Errorf("%v: %s", tc.options, info)
			}
		}
		compare(t, raw, image, tc.qemu)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// unpacked returns the disk in a compressed file, read by other libraries.
func unpacked(t *testing.T, format, name string) []byte {
	t.Helper()
	var r io.Reader
	var err error
	in := bytes.NewReader(read(t, name))
	switch format {
	case "raw.xz":
		r, err = xz.NewReader(in)
	case "raw.zst":
		r, err = zstd.NewReader(in)
	case "gce":
		var z *gzip.Reader
		if z, err = gzip.NewReader(in); err == nil {
			archive := tar.NewReader(z)
			var h *tar.Header
			if h, err = archive.Next(); err == nil && h.Name != "disk.raw" {
				err = errors.New("the archive starts with " + h.Name)
			}
			r = archive
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return data
}

// TestStreamDisk writes disks of sizes around those of pieces and blocks.
func TestStreamDisk(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{512, streamBlock, zstdPiece, 3*zstdPiece + 512, 2 * zstdPiece} {
		want := make([]byte, size)
		for _, at := range []int64{100, streamBlock, size - 1} {
			if at < size {
				want[at] = 7
			}
		}
		out := t.TempDir()
		c := &conversion{in: &module.Input{OutputDir: out, Log: io.Discard}, options: FormatOptions{Format: "raw.zst"}, size: size, dir: t.TempDir(), name: "z"}
		_, err := c.make(t.Context(), func(w io.WriterAt) error {
			for at, b := range want {
				if b != 0 {
					if _, err := w.WriteAt([]byte{b}, int64(at)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := unpacked(t, "raw.zst", filepath.Join(out, "z")); !bytes.Equal(got, want) {
			t.Errorf("a disk of %d bytes comes back as one of %d", size, len(got))
		}
	}
}

// TestSparseTar writes maps of any length, and lets tar read them.
func TestSparseTar(t *testing.T) {
	t.Parallel()
	need(t, "tar")
	for _, count := range []int{0, 1, 3, 4, 5, 24, 25, 26, 60} {
		dir := t.TempDir()
		name := filepath.Join(dir, "disk")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		size := int64(count)*200<<10 + 512
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		for i := range count {
			if _, err := f.WriteAt([]byte("data"), int64(i)*200<<10); err != nil {
				t.Fatal(err)
			}
		}
		src := sparse.File{File: f}
		parts, err := diskRuns(t.Context(), src, size)
		if err != nil || len(parts) != count+1 && count > 0 {
			t.Fatalf("%d parts with data, want %d: %v", len(parts), count, err)
		}
		var archive bytes.Buffer
		if err := writeSparseTar(t.Context(), &archive, "disk.raw", src, size, parts, 1700000000); err != nil {
			t.Fatal(err)
		}
		if archive.Len()%tarBlock != 0 {
			t.Errorf("an archive of %d bytes", archive.Len())
		}
		cmd := exec.Command("tar", "-xSf", "-", "-C", dir)
		cmd.Stdin = bytes.NewReader(archive.Bytes())
		if msg, err := cmd.CombinedOutput(); err != nil || len(msg) > 0 {
			t.Errorf("%d parts: tar: %v: %s", count, err, msg)
			continue
		}
		if sha(read(t, name)) != sha(read(t, filepath.Join(dir, "disk.raw"))) {
			t.Errorf("%d parts: the disk comes back as another", count)
		}
		st, err := os.Stat(filepath.Join(dir, "disk.raw"))
		if err != nil || st.ModTime().Unix() != 1700000000 {
			t.Errorf("%v: time %v", err, st.ModTime())
		}
	}
	b := make([]byte, octalDigits)
	if octal(b, 1<<33-1); string(b) != "77777777777\x00" {
		t.Errorf("%q", b)
	}
	if octal(b, 1<<33); string(b) != "\x80\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00" {
		t.Errorf("%q", b)
	}
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

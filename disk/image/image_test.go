package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/osbuildkit/osbuildkit/disk/qcow2"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// testDisk is a disk with a hole, as a boot sector starts it.
func testDisk() []byte {
	b := make([]byte, 6<<20)
	b[510], b[511] = 0x55, 0xaa
	var key [32]byte
	_, _ = rand.NewChaCha8(key).Read(b[4<<20 : 4<<20+100000])
	copy(b[5<<20:], strings.Repeat("some text ", 20000))
	return b
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDetect(t *testing.T) {
	t.Parallel()
	at := func(n int, text string) []byte {
		b := make([]byte, 70000)
		copy(b[n:], text)
		return b
	}
	for _, c := range []struct {
		data        []byte
		format      Format
		compression Compression
	}{
		{at(0, "QFI\xfb"), Qcow2, Plain},
		{at(0, "KDMV"), VMDK, Plain},
		{at(0, "# Disk DescriptorFile\n"), VMDK, Plain},
		{at(64, "\x7f\x10\xda\xbe"), VDI, Plain},
		{at(0, "vhdxfile"), VHDX, Plain},
		{at(0, "conectix"), VPC, Plain},
		{at(70000-512, "conectix"), VPC, Plain},
		{at(0, "\x1f\x8b\x08"), "", Gzip},
		{at(510, "\x55\xaa"), Raw, Plain},
		{at(512, "EFI PART"), Raw, Plain},
		{at(1080, "\x53\xef"), Raw, Plain},
		{at(510, "\x55\xaa")[:512], Raw, Plain},
		{at(4086, "SWAPSPACE2"), Raw, Plain},
		{at(32769, "CD001"), Raw, Plain},
		{at(512, "LABELONE"), Raw, Plain},
		{at(0, "LUKS\xba\xbe"), Raw, Plain},
		{at(0, "verity\x00\x00"), Raw, Plain},
	} {
		f, err := os.Open(write(t, "image", c.data))
		if err != nil {
			t.Fatal(err)
		}
		format, compression, err := Detect(f)
		if format != c.format || compression != c.compression || err != nil {
			t.Errorf("%s %s: %s, %s, %v", c.format, c.compression, format, compression, err)
		}
		f.Close()
	}
	for _, data := range [][]byte{nil, at(0, ""), []byte("QF"), at(0, "QFI\xfb")[:3]} {
		if _, err := Open(t.Context(), write(t, "image", data)); !errors.Is(err, ErrUnknown) {
			t.Errorf("%d bytes: error %v", len(data), err)
		}
	}
	if _, err := Open(t.Context(), t.TempDir()); err == nil {
		t.Error("a directory is taken for an image")
	}
}

// compressed returns the disk in each kind of file.
func compressed(t *testing.T, disk []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	with := func(name string, w io.WriteCloser, buf *bytes.Buffer, data []byte) {
		_, err := w.Write(data)
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		out[name] = buf.Bytes()
	}
	var z, x, g, tg, archive bytes.Buffer
	zw, _ := zstd.NewWriter(&z)
	with("zstd", zw, &z, disk)
	xw, _ := xz.NewWriter(&x)
	with("xz", xw, &x, disk)
	with("gzip", gzip.NewWriter(&g), &g, disk)
	tw := tar.NewWriter(&archive)
	for _, f := range []struct {
		name string
		data []byte
	}{{"README", []byte("x")}, {"./disk.raw", disk}} {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o644, Format: tar.FormatGNU}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	with("tar.gz", gzip.NewWriter(&tg), &tg, archive.Bytes())
	return out
}

func TestOpenCompressed(t *testing.T) {
	t.Parallel()
	disk := testDisk()
	for name, data := range compressed(t, disk) {
		m, err := Open(t.Context(), write(t, name, data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check(t, name, m, disk)
		if m.Format != Raw || m.Compression == Plain || m.FileSize != int64(len(data)) {
			t.Errorf("%s: %s, %q, %d", name, m.Format, m.Compression, m.FileSize)
		}
		dir := filepath.Dir(m.path)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: %s is left over", name, dir)
		}
		if _, err := Open(t.Context(), write(t, name, data[:len(data)/2])); err == nil {
			t.Errorf("%s: half a file is taken for an image", name)
		}
	}
}

// check compares what an image reads as, and reads all that is in its ranges.
func check(t *testing.T, name string, m *Image, disk []byte) {
	t.Helper()
	got := make([]byte, len(disk))
	if n, err := m.ReadAt(got, 0); n != len(disk) || !bytes.Equal(got, disk) || m.Size != int64(len(disk)) {
		t.Errorf("%s: %d bytes of %d, %v; content same: %v", name, n, m.Size, err, bytes.Equal(got, disk))
	}
	clear(got)
	for off := int64(0); ; {
		start, end, err := m.Next(off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || start < off || end <= start {
			t.Fatalf("%s: next of %d is %d to %d, %v", name, off, start, end, err)
		}
		copy(got[start:end], disk[start:end])
		off = end
	}
	if !bytes.Equal(got, disk) {
		t.Errorf("%s: there is data outside of what Next gives", name)
	}
}

func TestOpenQcow2(t *testing.T) {
	t.Parallel()
	disk := testDisk()
	raw := write(t, "raw", disk)
	for _, c := range []qcow2.Compression{qcow2.None, qcow2.Zlib, qcow2.Zstd} {
		src, err := os.Open(raw)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		dst, err := os.Create(filepath.Join(t.TempDir(), "disk"))
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		if _, err := qcow2.Write(t.Context(), dst, sparse.File{File: src}, int64(len(disk)), qcow2.Options{Compression: c}); err != nil {
			t.Fatal(err)
		}
		m, err := Open(t.Context(), dst.Name())
		if err != nil {
			t.Fatal(err)
		}
		check(t, string(c), m, disk)
		if m.Format != Qcow2 || m.path != dst.Name() {
			t.Errorf("%s at %s", m.Format, m.path)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOpenOfQemu opens what qemu-img makes.
func TestOpenOfQemu(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed")
	}
	disk := testDisk()
	raw := write(t, "raw", disk)
	for _, args := range [][]string{
		{"qcow2"}, {"qcow2", "-c"}, {"qcow2", "-o", "compat=0.10"}, {"qcow2", "-c", "-o", "compat=0.10,cluster_size=4096"}, {"qcow2", "-c", "-o", "compression_type=zstd"},
		{"qcow2", "-o", "cluster_size=512"}, {"qcow2", "-o", "cluster_size=2M,preallocation=full"}, {"vdi"}, {"vmdk"}, {"vmdk", "-o", "subformat=streamOptimized"}, {"vhdx"},
		{"vpc", "-o", "force_size=on"}, {"vpc", "-o", "subformat=fixed,force_size=on"},
	} {
		name := filepath.Join(t.TempDir(), "disk")
		if out, err := exec.Command("qemu-img", append(append([]string{"convert", "-f", "raw", "-O"}, args...), raw, name)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", args, out)
		}
		m, err := Open(t.Context(), name)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		check(t, strings.Join(args, " "), m, disk)
		if string(m.Format) != args[0] {
			t.Errorf("%v: %s", args, m.Format)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	back := filepath.Join(t.TempDir(), "disk")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", raw, "-F", "raw", back).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	if _, err := Open(t.Context(), back); err == nil || !strings.Contains(err.Error(), "backing file") {
		t.Errorf("an image with a backing file: %v", err)
	}
}

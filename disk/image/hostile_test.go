package image

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/qcow2"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// made returns an image of the test disk in each format and form that is read,
// as our own writers make them.
func made(t testing.TB, disk []byte) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	if err := os.WriteFile(raw, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	all := writers()
	for name, o := range map[string]qcow2.Options{"qcow2 zstd": {ClusterSize: 64 << 10}, "qcow2 zlib": {Compression: qcow2.Zlib, Version: 2}, "qcow2": {Compression: qcow2.None}} {
		all = append(all, writer{name, Qcow2, toFile(func(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64) error {
			_, err := qcow2.Write(ctx, dst, src, size, o)
			return err
		})})
	}
	out := map[string][]byte{}
	for _, w := range all {
		if strings.Contains(w.name, "Flat") || strings.Contains(w.name, "MaxExtent") {
			continue
		}
		to := filepath.Join(dir, w.name)
		src, err := os.Open(raw)
		if err == nil {
			err = os.Mkdir(to, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if err := w.write(t.Context(), to, sparse.File{File: src}, int64(len(disk))); err != nil {
			t.Fatal(err)
		}
		if out[w.name], err = os.ReadFile(filepath.Join(to, "disk")); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestReaders reads what our writers write, and makes it raw again.
func TestReaders(t *testing.T) {
	t.Parallel()
	disk := testDisk()
	images := made(t, disk)
	if len(images) != 9 {
		t.Errorf("%d images", len(images))
	}
	for name, data := range images {
		m, err := Open(t.Context(), write(t, "image", data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		check(t, name, m, disk)
		if m.Detail == "" {
			t.Errorf("%s: nothing is said about it", name)
		}
		raw, err := m.RawFile()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := os.ReadFile(raw)
		if err != nil || string(got) != string(disk) {
			t.Errorf("%s: as a raw file it is another disk: %v", name, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(raw); err == nil {
			t.Errorf("%s: %s is left over", name, raw)
		}
	}
}

// TestReadersOfQemu reads what qemu-img makes in forms that our writers do not,
// and sizes that fill no block.
func TestReadersOfQemu(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed")
	}
	disk := append(testDisk(), strings.Repeat("end", 512)...)
	raw := write(t, "raw", disk)
	for _, args := range [][]string{
		{"qcow2", "-c", "-o", "cluster_size=2M"}, {"qcow2", "-o", "preallocation=metadata"}, {"qcow2", "-o", "lazy_refcounts=on,refcount_bits=1"},
		{"vdi", "-o", "static=on"}, {"vmdk", "-o", "subformat=monolithicSparse,zeroed_grain=on"}, {"vmdk", "-o", "compat6"}, {"vmdk", "-o", "subformat=streamOptimized"},
		{"vhdx", "-o", "subformat=fixed,block_size=8M"}, {"vhdx", "-o", "subformat=dynamic,block_size=32M"}, {"vpc", "-o", "subformat=dynamic,force_size=on"},
	} {
		name := filepath.Join(t.TempDir(), "disk")
		if out, err := exec.Command("qemu-img", append(append([]string{"convert", "-f", "raw", "-O"}, args...), raw, name)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", args, out)
		}
		m, err := Open(t.Context(), name)
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		if m.Size > int64(len(disk)) && args[0] == "vhdx" {
			m.Size = int64(len(disk)) // it is rounded up to a MiB
		}
		check(t, strings.Join(args, " "), m, disk)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// change returns a copy with bytes in the place of others.
func change(data []byte, at int, with string) []byte {
	out := append([]byte(nil), data...)
	copy(out[at:], with)
	return out
}

func le32(v uint32) string { return string(binary.LittleEndian.AppendUint32(nil, v)) }
func le64(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }
func be64(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }

// TestHostile opens images that lead to other files, or would hold more than
// their file does.
func TestHostile(t *testing.T) {
	t.Parallel()
	secret := write(t, "secret", []byte("the secret of the host "+strings.Repeat(".", 2000)))
	images := made(t, testDisk())
	sparseVMDK, q := images["vmdk monolithicSparse"], images["qcow2"]
	text := func(from, to string) []byte {
		at := strings.Index(string(sparseVMDK), from)
		if at < 0 {
			t.Fatal(from)
		}
		end := at + len(from)
		out := append([]byte(nil), sparseVMDK...)
		rest := strings.TrimRight(string(sparseVMDK[end:512+10240]), "\x00")
		copy(out[at:], to+rest)
		return out
	}
	const head = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
	l1 := int(binary.BigEndian.Uint64(q[40:]))
	l2 := int(binary.BigEndian.Uint64(q[l1:]) &^ (1 << 63))
	grains := int(binary.LittleEndian.Uint64(sparseVMDK[56:])) * 512
	table := int(binary.LittleEndian.Uint32(sparseVMDK[grains:])) * 512
	vhdx := images["vhdx"]
	dirty := change(vhdx[:], 64<<10+48, "a log identifier")
	for _, at := range []int{64 << 10, 128 << 10} {
		copy(dirty[at+48:], "a log identifier")
		clear(dirty[at+4 : at+8])
		binary.LittleEndian.PutUint32(dirty[at+4:], crc32.Checksum(dirty[at:at+4096], crc32.MakeTable(crc32.Castagnoli)))
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"descriptor":            {[]byte(head + "RW 4 FLAT \"" + secret + "\" 0\n"), "several files"},
		"white space":           {[]byte(head + "RW\n4\nFLAT\n\"" + secret + "\" 0\n"), "several files"},
		"description of KDMV":   {text("SPARSE \"disk\"", "FLAT \""+secret+"\" 0"), "several files"},
		"split lines":           {text("RW 12288 SPARSE \"disk\"", "RW\v12288\vFLAT\v\""+secret+"\" 0"), "several files"},
		"lines in pieces":       {text("RW 12288 SPARSE \"disk\"", "RW\n12288\nFLAT\n\""+secret+"\" 0"), "several files"},
		"two extents":           {text("\n\n# The Disk", "\nRW 4 FLAT \""+secret+"\"\n# The Disk"), "several files"},
		"no description":        {change(sparseVMDK, 36, le64(0)), "several files"},
		"one sector":            {change(sparseVMDK, 36, le64(1)), "one sector is read"},
		"long description":      {change(sparseVMDK, 36, le64(1<<40)), "is not possible"},
		"parent":                {text("parentCID=ffffffff", "parentCID=00000001"), "has a parent"},
		"name of a parent":      {text("createType", "parentFileNameHint=\""+secret+"\"\ncreateType"), "has a parent"},
		"grains of the vmdk":    {change(sparseVMDK, table+4, string(sparseVMDK[table+4*64:table+4*64+4])), "twice"},
		"size of the vmdk":      {change(sparseVMDK, 12, le64(1<<55)), "is not possible"},
		"backing file":          {change(q, 8, be64(200)), "backing file"},
		"encrypted":             {change(q, 32, "\x00\x00\x00\x02"), "encrypted"},
		"data file":             {change(q, 72, be64(4)), "external data file"},
		"extended tables":       {change(q, 72, be64(16)), "extended tables"},
		"corrupt":               {change(q, 72, be64(2)), "corrupt"},
		"clusters of the qcow2": {change(q, l2+8, string(q[l2+8*64:l2+8*64+8])), "twice"},
		"table of itself":       {change(q, l2+8, be64(uint64(l2))), "twice"},
		"size of the qcow2":     {change(q, 24, be64(1<<50)), "is not possible"},
		"blocks of the vdi":     {change(images["vdi"], 512+4, le32(0)), "twice"},
		"parent of the vdi":     {change(images["vdi"], 0x1b8, "x"), "has a parent"},
		"undo of the vdi":       {change(images["vdi"], 0x4c, le32(3)), "has a parent"},
		"size of the vdi":       {change(images["vdi"], 0x170, le64(1<<60)), "is not possible"},
		"blocks of the vpc":     {change(images["vpc dynamic"], 1536, string(images["vpc dynamic"][1536+8:1536+12])), "twice"},
		"footer of the vpc":     {append(change(images["vpc dynamic"], 60, "x")[:len(images["vpc dynamic"])-512], make([]byte, 512)...), "right checksum"},
		"half a fixed vpc":      {append(make([]byte, 4096), images["vpc fixed"][len(images["vpc fixed"])-512:]...), "cut off"},
		"log of the vhdx":       {dirty, "log of the image was not played back"},
		"headers of the vhdx":   {change(change(vhdx, 64<<10+100, "x"), 128<<10+100, "x"), "both are damaged"},
		"blocks of the vhdx":    {change(vhdx, 3<<20+8, string(vhdx[3<<20+32:3<<20+40])), "twice"},
		"state of the vhdx":     {change(vhdx, 3<<20, le64(7)), "state 7"},
	} {
		m, err := Open(t.Context(), write(t, "image", c.data))
		if err == nil {
			// Whatever it is taken for, it is nothing of another file.
			got, _ := io.ReadAll(io.NewSectionReader(m, 0, min(m.Size, 8<<20)))
			if strings.Contains(string(got), "secret of the host") {
				t.Errorf("%s: another file is read", name)
			}
			_ = m.Close()
		}
		if name == "one sector" {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// TestUnpackLimits ends where what is compressed is no disk, or a disk that is
// much larger than its file may be worth.
func TestUnpackLimits(t *testing.T) {
	tmp := t.TempDir()
	pack := func(head string, fill byte, size int64) string {
		t.Helper()
		f, err := os.Create(filepath.Join(t.TempDir(), "packed"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := zstd.NewWriter(f)
		if err != nil {
			t.Fatal(err)
		}
		piece := []byte(strings.Repeat(string(fill), 1<<20))
		copy(piece, head)
		for at := int64(0); at < size && err == nil; at += int64(len(piece)) {
			_, err = z.Write(piece)
			piece = []byte(strings.Repeat(string(fill), len(piece)))
		}
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		return f.Name()
	}
	boot := strings.Repeat("\x01", 510) + "\x55\xaa"
	t.Setenv("TMPDIR", tmp)
	for name, c := range map[string]struct {
		file, want string
	}{
		"no disk":   {pack("text", 1, 3<<30), "no known format"},
		"much data": {pack(boot, 1, 3<<30), "DataFloor"},
		"zeros":     {pack(boot, 0, 3<<30), ""},
	} {
		m, err := Open(t.Context(), c.file)
		if err == nil {
			err = m.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
		if c.want == "DataFloor" && !errors.Is(err, limit.ErrExceeded) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("%s is left over", left[0].Name())
	}
}

// TestOpenEnds stops with its context, in every format, also later.
func TestOpenEnds(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	var open []*Image
	images := made(t, testDisk())
	for name, data := range images {
		m, err := Open(ctx, write(t, "image", data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		open = append(open, m)
	}
	cancel(why)
	for _, m := range open {
		if _, err := m.ReadAt(make([]byte, 10), 0); !errors.Is(err, why) {
			t.Errorf("%s: read after the end: %v", m.Format, err)
		}
		if _, err := m.RawFile(); m.Format != Raw && !errors.Is(err, why) {
			t.Errorf("%s: converted after the end: %v", m.Format, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, data := range compressed(t, testDisk()) {
		if _, err := Open(ctx, write(t, name, data)); !errors.Is(err, why) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestOpenPipe does not wait for a writer.
func TestOpenPipe(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := Open(t.Context(), pipe)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "not a file") {
			t.Errorf("error %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("a pipe is waited for")
	}
}

package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/disk/vdi"
	"github.com/osbuildkit/osbuildkit/disk/vhdx"
	"github.com/osbuildkit/osbuildkit/disk/vmdk"
	"github.com/osbuildkit/osbuildkit/disk/vpc"
)

var testID = disk.UUID{0x76, 0xa2, 0x2b, 0xf4, 0xf1, 0x53, 0x45, 0x41, 0xb6, 0xc7, 3, 0x32, 0xc0, 0xdf, 0xae, 0xac}

// writer writes a disk as files in a directory, the first of which is "disk".
type writer struct {
	name   string
	format Format
	write  func(ctx context.Context, dir string, src sparse.Source, size int64) error
}

// toFile is a writer of one file.
func toFile(write func(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64) error) func(context.Context, string, sparse.Source, int64) error {
	return func(ctx context.Context, dir string, src sparse.Source, size int64) error {
		f, err := os.Create(filepath.Join(dir, "disk"))
		if err != nil {
			return err
		}
		defer f.Close()
		return write(ctx, f, src, size)
	}
}

func writers() []writer {
	out := []writer{
		{"vdi", VDI, toFile(func(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64) error {
			return vdi.Write(ctx, dst, src, size, vdi.Options{ID: testID, Snapshot: testID.Derive("x")})
		})},
		{"vpc fixed", VPC, toFile(func(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64) error {
			return vpc.Write(ctx, dst, src, size, vpc.Options{ID: testID, Time: 1700000000})
		})},
		{"vpc dynamic", VPC, toFile(func(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64) error {
			return vpc.Write(ctx, dst, src, size, vpc.Options{ID: testID, Dynamic: true})
		})},
		{"vhdx", VHDX, toFile(func(ctx context.Context, dst io.WriterAt, src sparse.Source, size int64) error {
			return vhdx.Write(ctx, dst, src, size, vhdx.Options{ID: testID})
		})},
	}
	for _, form := range []vmdk.Form{vmdk.MonolithicSparse, vmdk.MonolithicFlat, vmdk.TwoGBMaxExtentSparse, vmdk.TwoGBMaxExtentFlat, vmdk.StreamOptimized} {
		out = append(out, writer{"vmdk " + string(form), VMDK, func(ctx context.Context, dir string, src sparse.Source, size int64) error {
			_, err := vmdk.Write(ctx, dir, "disk", src, size, vmdk.Options{Form: form, ContentID: 0x12345678})
			return err
		}})
	}
	return out
}

const largeSize = 5<<30 + 512*7

// largeMarks are where the large disk holds data.
var largeMarks = []int64{510, 1 << 30, 2<<30 - 1000, 3<<30 + 5, 4<<30 - 1, 4<<30 + 5<<20, largeSize - 3}

// testDisks are disks whose sizes fill the blocks of the formats or do not, with
// data at the ends and behind 2 GiB.
func testDisks(t *testing.T) map[string]string {
	t.Helper()
	large := write(t, "large", nil)
	f, err := os.OpenFile(large, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = largeSize
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, at := range largeMarks {
		if _, err := f.WriteAt([]byte("\x55\xaasome data"[:min(11, size-at)]), at); err != nil {
			t.Fatal(err)
		}
	}
	odd := testDisk()
	return map[string]string{
		"mixed": write(t, "mixed", odd),
		"odd":   write(t, "odd", append(odd, bytes.Repeat([]byte("end"), 512)...)),
		"empty": write(t, "empty", make([]byte, 3<<20)),
		"tiny":  write(t, "tiny", odd[:512]),
		"large": large,
	}
}

// TestWriters lets QEMU check and read what our writers make, and compares two
// runs.
func TestWriters(t *testing.T) {
	t.Parallel()
	qemuImg, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed")
	}
	for diskName, raw := range testDisks(t) {
		for _, w := range writers() {
			t.Run(diskName+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				var sums []string
				for range 2 {
					dir := t.TempDir()
					src, err := os.Open(raw)
					if err != nil {
						t.Fatal(err)
					}
					defer src.Close()
					st, err := src.Stat()
					if err != nil {
						t.Fatal(err)
					}
					if err := w.write(t.Context(), dir, sparse.File{File: src}, st.Size()); err != nil {
						t.Fatal(err)
					}
					sums = append(sums, contents(t, dir))
					if len(sums) == 2 {
						qemuChecks(t, qemuImg, w, raw, dir, st.Size())
					}
				}
				if sums[0] != sums[1] {
					t.Errorf("two runs: %s and %s", sums[0], sums[1])
				}
			})
		}
	}
}

func qemuChecks(t *testing.T, qemuImg string, w writer, raw, dir string, size int64) {
	t.Helper()
	image := filepath.Join(dir, "disk")
	if out, err := exec.Command(qemuImg, "check", "-f", string(w.format), image).CombinedOutput(); err != nil && !strings.Contains(string(out), "does not support checks") {
		t.Errorf("check: %v: %s", err, out)
	}
	out, err := exec.Command(qemuImg, "info", "-f", string(w.format), "--output=json", image).CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("\"virtual-size\": %d,", size)) {
		t.Errorf("%v: %s", err, out)
	}
	if w.format == VHDX && size > 1<<30 {
		// QEMU would read all of the holes, which takes a minute.
		args := []string{"-r", "-f", "vhdx"}
		for _, at := range largeMarks {
			args = append(args, "-c", fmt.Sprintf("read -P 0x55 %d 1", at), "-c", fmt.Sprintf("read -P 0 %d 200", at-200))
		}
		if out, err := exec.Command("qemu-io", append(args, image)...).CombinedOutput(); err != nil || strings.Contains(string(out), "verification failed") {
			t.Errorf("qemu-io: %v: %s", err, out)
		}
	} else if out, err := exec.Command(qemuImg, "compare", "-f", "raw", "-F", string(w.format), raw, image).CombinedOutput(); err != nil {
		t.Errorf("compare: %v: %s", err, out)
	}
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if format, _, err := Detect(f); format != w.format || err != nil {
		t.Errorf("detected as %s, %v", format, err)
	}
}

// contents is a checksum over the files of a directory.
func contents(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(h, e.Name(), st.Size())
		// Holes are not read.
		err = sparse.Blocks(t.Context(), sparse.File{File: f}, st.Size(), sparse.Work{Block: 64 << 10}, func(index int64, raw, _ []byte) error {
			fmt.Fprintln(h, index)
			_, err := h.Write(raw)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestWritersRefuse gives sizes that cannot be and stops in the middle.
func TestWritersRefuse(t *testing.T) {
	t.Parallel()
	raw, err := os.Open(write(t, "raw", testDisk()))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, w := range writers() {
		for _, size := range []int64{0, -512, 513, 1 << 60} {
			if err := w.write(t.Context(), t.TempDir(), sparse.File{File: raw}, size); err == nil || !strings.Contains(err.Error(), "is not possible") {
				t.Errorf("%s of %d bytes: error %v", w.name, size, err)
			}
		}
		dir := t.TempDir()
		if err := w.write(ctx, dir, sparse.File{File: raw}, 6<<20); err == nil {
			t.Errorf("%s: cancelled without an error", w.name)
		}
		if m, err := Open(t.Context(), filepath.Join(dir, "disk")); err == nil && m.Format == w.format {
			t.Errorf("%s: what was cancelled is taken for an image", w.name)
		}
	}
}

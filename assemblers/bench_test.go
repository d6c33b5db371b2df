package assemblers

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// benchBytes and benchFiles are the size of the tree that BenchmarkQemu
// assembles: about that of a server installation.
const (
	benchBytes = 800 << 20
	benchFiles = 20000
)

// BenchmarkQemu assembles a tree of 800 MiB in 20000 files. It reports the
// seconds per GiB of tree and the peak memory of this process, which the
// runner's is no larger than. OSBUILDKIT_BENCH_TREE names another tree.
func BenchmarkQemu(b *testing.B) {
	tree, size := os.Getenv("OSBUILDKIT_BENCH_TREE"), int64(benchBytes)
	if tree == "" {
		tree = benchTree(b)
	} else {
		size = treeBytes(b, tree)
	}
	for _, c := range []string{"zstd", "zlib", "none"} {
		b.Run("qcow2-"+c, func(b *testing.B) {
			options := json.RawMessage(fmt.Sprintf(`{"format":"qcow2","compression":%q,"filename":"disk","ptuuid":"0x14fc63d2","root_fs_uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","size":%d}`,
				c, size*2/512*512))
			b.SetBytes(size)
			// Forget the peak so far; not every kernel lets us.
			_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
			var out string
			before := cpuSeconds()
			for b.Loop() {
				var err error
				if out, _, err = assemble(b.Context(), b, tree, options, "/"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/(float64(size)/(1<<30)), "s/GiB")
			b.ReportMetric((cpuSeconds()-before)/float64(b.N)/(float64(size)/(1<<30)), "cpu-s/GiB")
			b.ReportMetric(peakMemory(), "MiB-peak")
			if st, err := os.Stat(filepath.Join(out, "disk")); err == nil {
				b.ReportMetric(float64(st.Size())/(1<<20), "MiB-image")
			}
		})
	}
}

// cpuSeconds returns the processor time of this process and its children: on a
// machine that others use as well, it says more than the time that passed.
func cpuSeconds() float64 {
	total := 0.0
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			total += time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
		}
	}
	return total
}

// peakMemory returns the largest resident size of this process in MiB.
func peakMemory() float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			if f := bytes.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseFloat(string(f[0]), 64)
				return n / 1024
			}
		}
	}
	return 0
}

func treeBytes(b *testing.B, tree string) int64 {
	b.Helper()
	var n int64
	err := filepath.WalkDir(tree, func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// benchTree makes a tree that is as compressible as an installed system: half
// of the bytes look like text, a third like machine code, the rest like files
// that are compressed already. Most files are small, a few hold most bytes.
func benchTree(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	left := int64(benchBytes)
	for i := range benchFiles {
		d := filepath.Join(dir, fmt.Sprintf("usr/d%03d", i/60))
		if i%60 == 0 {
			if err := os.MkdirAll(d, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		n := int64(r.IntN(24 << 10))
		if i%40 == 0 {
			n = min(left, int64(benchBytes)*7/10/(benchFiles/40)*int64(1+r.IntN(200))/100)
		}
		if i == benchFiles-1 {
			n = left
		}
		n = min(n, left)
		left -= n
		if err := benchFile(filepath.Join(d, fmt.Sprintf("f%05d", i)), n, r); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

func benchFile(name string, n int64, r *rand.Rand) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	kind := r.IntN(6)
	var word [8]byte
	for at := int64(0); at < n; {
		var piece []byte
		switch {
		case kind < 3: // text
			piece = fmt.Appendf(nil, "%s%d the %x of ", benchWords[r.IntN(len(benchWords))], r.IntN(50), r.IntN(400))
		case kind < 5: // code: common opcodes, operands that vary
			binary.LittleEndian.PutUint64(word[:], uint64(r.IntN(1<<20))<<24|uint64(0x48_8b_45+r.IntN(40)))
			piece = word[:]
		default:
			binary.LittleEndian.PutUint64(word[:], r.Uint64())
			piece = word[:]
		}
		piece = piece[:min(int64(len(piece)), n-at)]
		if _, err := w.Write(piece); err != nil {
			f.Close()
			return err
		}
		at += int64(len(piece))
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

var benchWords = []string{"package", "kernel", "service", "target", "documentation", "copyright", "license", "function", "return", "module", "device", "network", "configuration", "library", "version", "value"}

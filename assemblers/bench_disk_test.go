package assemblers

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkDisk assembles a tree to a zstd qcow2 and, in turn with it, does the
// same work the privileged way: a loop device, mkfs.ext4, mount, cp -a,
// qemu-img convert -c. It reports the medians of both in seconds per GB of tree,
// and of their ratios, and the same of processor time, which says more on a
// machine that others use as well. It needs root and loop devices; see "make
// bench-disk".
func BenchmarkDisk(b *testing.B) {
	need(b, "mke2fs", "qemu-img", "losetup")
	if os.Getuid() != 0 {
		b.Skip("mounting needs root")
	}
	tree, size := os.Getenv("OSBUILDKIT_BENCH_TREE"), int64(benchBytes)
	if tree == "" {
		tree = benchTree(b)
	} else {
		size = treeBytes(b, tree)
	}
	disk := size * 2 / 512 * 512
	options := json.RawMessage(fmt.Sprintf(`{"format":"qcow2","filename":"disk","ptuuid":"0x14fc63d2","root_fs_uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","size":%d}`, disk))
	gb := float64(size) / 1e9
	var ours, theirs, ratios, cpuOurs, cpuTheirs, cpuRatios []float64
	for b.Loop() {
		dir := b.TempDir()
		begin, cpu := time.Now(), cpuSeconds()
		out, _, err := assemble(b.Context(), b, tree, options, "/")
		if err != nil {
			b.Fatal(err)
		}
		a, cpuA := time.Since(begin).Seconds()/gb, (cpuSeconds()-cpu)/gb
		// What is not written yet must not be a burden to what comes next.
		if err := errors.Join(os.RemoveAll(out), exec.Command("sync").Run()); err != nil {
			b.Fatal(err)
		}
		begin, cpu = time.Now(), cpuSeconds()
		loopMount(b, tree, dir, disk)
		t, cpuT := time.Since(begin).Seconds()/gb, (cpuSeconds()-cpu)/gb
		if err := errors.Join(os.RemoveAll(dir), exec.Command("sync").Run()); err != nil {
			b.Fatal(err)
		}
		b.Logf("ours %.2f s/GB (%.2f of processors), theirs %.2f s/GB (%.2f): %.1f times (%.1f)", a, cpuA, t, cpuT, t/a, cpuT/cpuA)
		cpuOurs, cpuTheirs, cpuRatios = append(cpuOurs, cpuA), append(cpuTheirs, cpuT), append(cpuRatios, cpuT/cpuA)
		ours, theirs, ratios = append(ours, a), append(theirs, t), append(ratios, t/a)
	}
	b.ReportMetric(median(ours), "ours-s/GB")
	b.ReportMetric(median(theirs), "theirs-s/GB")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpuOurs), "ours-cpu-s/GB")
	b.ReportMetric(median(cpuTheirs), "theirs-cpu-s/GB")
	b.ReportMetric(median(cpuRatios), "cpu-ratio")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// loopMount makes the same image with a mount.
func loopMount(b *testing.B, tree, dir string, size int64) {
	b.Helper()
	run := func(name string, args ...string) string {
		b.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			b.Fatalf("%s %v: %v: %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	raw, mount := filepath.Join(dir, "raw"), filepath.Join(dir, "mount")
	run("truncate", "-s", fmt.Sprint(size), raw)
	run("mkdir", mount)
	device := run("losetup", "--find", "--show", "--offset", "1048576", raw)
	mounted := false
	// Also where something fails: a mount would be left over.
	defer func() {
		if mounted {
			_ = exec.Command("umount", mount).Run()
		}
		_ = exec.Command("losetup", "--detach", device).Run()
	}()
	run("mke2fs", "-q", "-F", "-t", "ext4", device)
	run("mount", device, mount)
	mounted = true
	run("cp", "-a", tree+"/.", mount)
	run("umount", mount)
	mounted = false
	run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, filepath.Join(dir, "image"))
}

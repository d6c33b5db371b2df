//go:build e2e

package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestImages builds raw disks, whose holes must come back, looks into them, and
// verifies that they are reproducible; a module that is not is named by the file
// that it writes.
func TestImages(t *testing.T) {
	need(t)
	lib := t.TempDir()
	writeFiles(t, lib, map[string]string{
		"stages/org.example.same": "#!/bin/sh\nmkdir -p /run/osbuild/tree/etc\necho text > /run/osbuild/tree/etc/motd\n",
		"stages/org.example.time": "#!/bin/sh\nread -r up _ < /proc/uptime\nmkdir -p /run/osbuild/tree/etc\necho \"made at $up\" > /run/osbuild/tree/etc/made\n",
	})
	out := t.TempDir()
	disk := func(stages ...any) string {
		return manifestFile(t, "disk.json", object{"stages": stages, "assembler": qemu("raw", "disk.raw", smallSize)})
	}
	same := disk(stage("org.example.same", object{}))
	p := build(t, "--libdir", lib, "-o", out, "--verify-reproducible=tree,assembler", same)
	if !strings.Contains(p.text(), "reproducible: 2 files are the same bytes") {
		t.Errorf("%s", p.text())
	}
	image := filepath.Join(out, "disk.raw")
	st, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	if used := st.Sys().(*syscall.Stat_t).Blocks * 512; st.Size() != smallSize || used > 64<<20 {
		t.Errorf("a disk of %d bytes takes %d", st.Size(), used)
	}
	if got := output(t, shared.program, "image", "cat", image, "/etc/motd"); strings.TrimSpace(got) != "text" {
		t.Errorf("/etc/motd holds %q", got)
	}
	if got := output(t, shared.program, "image", "info", image); !strings.Contains(got, "ext4") || !strings.Contains(got, rootID) {
		t.Errorf("%s", got)
	}
	differs := disk(stage("org.example.same", object{}), stage("org.example.time", object{}))
	q := startBuild(t, "--libdir", lib, "-o", t.TempDir(), "--verify-reproducible=tree,assembler", differs).wait()
	if want := `disk.raw: partition 1, the file "/etc/made": its`; q.code() != 1 || !strings.Contains(q.text(), want) {
		t.Errorf("code %d, want %q in\n%s", q.code(), want, q.text())
	}
}

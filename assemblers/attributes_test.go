package assemblers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

// TestQemuAttributes makes the image of a tree whose files have on the
// builder's disk what stands in the ledger, as after a cold build, and more,
// and of a tree whose files have nothing, as from a cache.
func TestQemuAttributes(t *testing.T) {
	t.Parallel()
	need(t, "debugfs")
	book := t.TempDir()
	err := ledger.Update(book, time.Unix(1, 0), func(l *ledger.Ledger) error {
		return l.Set("/etc/hostname", "user.note", []byte("from the ledger"))
	})
	if err != nil {
		t.Fatal(err)
	}
	var images [2][]byte
	for i := range images {
		tree := smallTree(t, "usr/bin/ping")
		if err := unix.Lsetxattr(filepath.Join(tree, "usr/bin/ping"), ledger.Capability, []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0); err != nil {
			t.Skip("capabilities cannot be set here:", err)
		}
		// The times of the files are not what this is about.
		for _, name := range []string{"etc/hostname", "etc", "usr/bin/ping", "usr/bin", "usr", "."} {
			if err := os.Chtimes(filepath.Join(tree, name), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 {
			for name, value := range map[string]string{"user.note": "from the ledger", "user.only": "here"} {
				if err := unix.Lsetxattr(filepath.Join(tree, "etc/hostname"), name, []byte(value), 0); err != nil {
					t.Skip("attributes cannot be set here:", err)
				}
			}
		}
		out := t.TempDir()
		var log bytes.Buffer
		m := module.Find(Modules(), "org.osbuild.qemu")
		in := &module.Input{Tree: tree, Ledger: book, Options: with(t, map[string]any{"format": "raw", "filename": "disk.raw"}), OutputDir: out, BuildRoot: "/", Epoch: 1700000000, Log: &log}
		if err := m.Run(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "extended attributes of 1 files from the ledger") {
			t.Errorf("log: %s", &log)
		}
		image := filepath.Join(out, "disk.raw")
		for name, want := range map[string]string{"/etc/hostname": "user.note (15) = \"from the ledger\"", "/usr/bin/ping": "security.capability (20)"} {
			got, err := exec.Command("debugfs", "-R", "ea_list "+name, image+"?offset=1048576").CombinedOutput()
			if err != nil || !strings.Contains(string(got), want) || strings.Contains(string(got), "user.only") {
				t.Errorf("%s: %v: %s", name, err, got)
			}
		}
		if images[i], err = os.ReadFile(image); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("attributes on the builder's disk have changed the image")
	}
	if err := os.WriteFile(filepath.Join(book, ledger.FileName), []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := module.Find(Modules(), "org.osbuild.qemu")
	out := t.TempDir()
	if err := m.Run(t.Context(), &module.Input{Tree: smallTree(t), Ledger: book, Options: with(t, nil), OutputDir: out, BuildRoot: "/", Epoch: 1}); err == nil || !strings.Contains(err.Error(), "no ledger of a kind") {
		t.Errorf("a broken ledger: %v", err)
	}
	if left := names(t, out); left != "" {
		t.Errorf("left: %s", left)
	}
}

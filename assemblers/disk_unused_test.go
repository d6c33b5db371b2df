package assemblers

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// TestOptionsOfAnotherFormat gives options that are for another format: they
// have no effect, and the log says so.
func TestOptionsOfAnotherFormat(t *testing.T) {
	t.Parallel()
	options := map[string]any{"compression": "zlib", "qcow2_compat": "0.10", "vmdk_subformat": "streamOptimized", "vpc_subformat": "dynamic"}
	for _, format := range formatNames {
		o := FormatOptions{Format: format, Compression: "zlib", QCOW2Compat: "0.10", VMDKSubformat: "streamOptimized", VPCSubformat: "dynamic"}
		if p := o.check("disk", 64<<20); len(p) != 0 {
			t.Errorf("%s: %v", format, p)
		}
		want := map[string]int{"qcow2": 2, "vmdk": 3, "vpc": 3}[format]
		if want == 0 {
			want = 4
		}
		if got := o.unused(); len(got) != want {
			t.Errorf("%s: without effect are %v", format, got)
		}
		if want, plain := diskFormats[format].inPlace && format != "vpc", (&FormatOptions{Format: format}).inPlace(); o.inPlace() != want || format == "raw" && !plain {
			t.Errorf("%s: the raw file becomes the result: %v", format, o.inPlace())
		}
	}
	need(t, "e2fsck", "sfdisk")
	tree := smallTree(t)
	plain, _, err := assemble(t.Context(), t, tree, with(t, map[string]any{"format": "raw", "filename": "disk.img"}), "/")
	if err != nil {
		t.Fatal(err)
	}
	options["format"], options["filename"] = "raw", "disk.img"
	other, log, err := assemble(t.Context(), t, tree, with(t, options), "/")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := read(t, filepath.Join(plain, sumsFile)), read(t, filepath.Join(other, sumsFile)); !bytes.Equal(a, b) {
		t.Errorf("the disks are %s and %s", a, b)
	}
	for name := range options {
		if name != "format" && name != "filename" && !strings.Contains(log, "the option "+name+" has no effect on the format raw") {
			t.Errorf("the log does not speak of %s: %s", name, log)
		}
	}
}

package assemblers

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

// Labels and identifiers that are too long are cut as mkfs.fat and sfdisk cut
// them, and the log says so.
func TestShortenedIdentifiers(t *testing.T) {
	t.Parallel()
	const options = `{"format": "raw", "filename": "disk.raw", "pttype": "dos", "ptuuid": "D209C89E-EA5E-4FBD-B161-B461CCE297E0", "size": 67108864, "partitions": [
		{"size": 65536, "type": "ef", "filesystem": {"type": "vfat", "mountpoint": "/boot/efi", "uuid": "7B77-95E7", "label": "EFI System Partition"}},
		{"filesystem": {"type": "ext4", "mountpoint": "/", "uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "label": "root"}}]}`
	tree, out := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(tree, "boot/efi"), 0o755); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	in := &module.Input{Tree: tree, OutputDir: out, Options: json.RawMessage(options), Epoch: 1_600_000_000, Log: &log}
	if err := runQemu(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"EFI System Partition" has 20 bytes`, `it is cut to "EFI System"`, "it is 0xd209c89e, the beginning of"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("log %q, want %q in it", log.String(), part)
		}
	}
	data, err := os.ReadFile(filepath.Join(out, "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	if got := data[440:444]; !bytes.Equal(got, []byte{0x9e, 0xc8, 0x09, 0xd2}) {
		t.Errorf("the identifier of the disk is % x", got)
	}
	if n := bytes.Count(data[1<<20:33<<20], []byte("EFI System ")); n != 2 {
		t.Errorf("the label is there %d times, and belongs in the first sector and the root directory", n)
	}
	if sfdisk, err := exec.LookPath("sfdisk"); err == nil {
		out, err := exec.Command(sfdisk, "-d", filepath.Join(out, "disk.raw")).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "label-id: 0xd209c89e") {
			t.Errorf("sfdisk: %v: %s", err, out)
		}
	}
}

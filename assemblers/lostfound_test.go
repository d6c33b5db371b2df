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
	"time"

	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

// The directory lost+found of each ext4 has the label of its place, or that of
// the system's if the policy says nothing of the place.
func TestLostAndFoundHasLabel(t *testing.T) {
	t.Parallel()
	debugfs, err := exec.LookPath("debugfs")
	if err != nil {
		t.Skip("needs debugfs")
	}
	const options = `{"format": "raw", "filename": "disk.raw", "pttype": "gpt", "size": 67108864, "partitions": [
		{"size": 32768, "filesystem": {"type": "ext4", "mountpoint": "/"}}, {"size": 32768, "filesystem": {"type": "ext4", "mountpoint": "/var"}},
		{"size": 32768, "filesystem": {"type": "ext4", "mountpoint": "/data"}}]}`
	for _, labelled := range []bool{true, false} {
		in := &module.Input{Tree: t.TempDir(), OutputDir: t.TempDir(), Ledger: t.TempDir(), Options: json.RawMessage(options), Epoch: 1_600_000_000}
		for _, dir := range []string{"var", "data"} {
			if err := os.Mkdir(filepath.Join(in.Tree, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var log bytes.Buffer
		in.Log = &log
		labels := map[string]string{"/": "u:r:root", "/lost+found": "u:r:lost", "/var": "u:r:var", "/var/lost+found": "u:r:varlost", "/data": "u:r:data"}
		if !labelled {
			labels = nil
		}
		err := ledger.Update(in.Ledger, time.Unix(1, 0), func(l *ledger.Ledger) error {
			for p, label := range labels {
				if err := l.Set(p, ledger.Label, []byte(label+"\x00")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := runQemu(context.Background(), in); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), "do not exist") {
			t.Errorf("log: %s", log.String())
		}
		data, err := os.ReadFile(filepath.Join(in.OutputDir, "disk.raw"))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"u:r:lost", "u:r:varlost", "u:r:lost"} {
			const size = 16 << 20
			part := filepath.Join(t.TempDir(), "part")
			if err := os.WriteFile(part, data[1<<20+i*size:][:size], 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(debugfs, "-R", "ea_get /lost+found security.selinux", part).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if has := strings.Contains(string(out), `"`+want+`\000"`); has != labelled {
				t.Errorf("partition %d, labels %t: %s", i+1, labelled, out)
			}
		}
	}
}

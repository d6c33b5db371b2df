package mbr

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

type buffer struct{ b [1024]byte }

func (b *buffer) WriteAt(p []byte, off int64) (int, error) { return copy(b.b[off:], p), nil }

func TestWrite(t *testing.T) {
	t.Parallel()
	var b buffer
	for i := range b.b {
		b.b[i] = 0xee
	}
	table := Table{Signature: 0x14fc63d2, Partitions: []Partition{{Start: 2048, Sectors: 4194304 - 2048, Type: TypeLinux, Bootable: true}}}
	if err := table.Write(&b, 4194304); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.b[:440], bytes.Repeat([]byte{0xee}, 440)) || b.b[512] != 0xee {
		t.Error("bytes that belong to others were changed")
	}
	// Start 2048 is cylinder 0, head 32, sector 33; the last sector, 4194303,
	// is cylinder 261, head 21, sector 16.
	want := "d263fc14" + "0000" +
		"80" + "202100" + "83" + "155005" + "00080000" + "00f83f00" +
		strings.Repeat("00", 48) + "55aa"
	if got := hex.EncodeToString(b.b[440:512]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestSfdisk compares with what another program reads.
func TestSfdisk(t *testing.T) {
	t.Parallel()
	sfdisk, err := exec.LookPath("sfdisk")
	if err != nil {
		t.Skip("sfdisk is not installed")
	}
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	table := Table{Signature: 0xabc, Partitions: []Partition{
		{Start: 2048, Sectors: 4096, Type: 0x0c},
		{Start: 8192, Sectors: 122880, Type: TypeLinux, Bootable: true},
	}}
	if err := table.Write(f, 64<<11); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sfdisk, "--dump", name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range []string{
		"label: dos", "label-id: 0x00000abc",
		"start= 2048, size= 4096, type=c",
		"start= 8192, size= 122880, type=83, bootable",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	if out, err := exec.Command(sfdisk, "--verify", name).CombinedOutput(); err != nil {
		t.Errorf("sfdisk --verify: %v: %s", err, out)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		parts []Partition
		want  string
	}{
		{"good", []Partition{{Start: 1, Sectors: 9}, {Start: 10, Sectors: 90}}, ""},
		{"none", nil, ""},
		{"empty", []Partition{{Start: 1}}, "partition 1 is empty"},
		{"first sector", []Partition{{Sectors: 1}}, "starts in sector 0"},
		{"too long", []Partition{{Start: 1, Sectors: 100}}, "reaches sector 101, and the disk has 100"},
		{"overflow", []Partition{{Start: 1 << 63, Sectors: 1<<63 + 2}}, "partition 1 reaches"},
		{"overlap", []Partition{{Start: 10, Sectors: 10}, {Start: 5, Sectors: 6}}, "partition 2 overlaps partition 1"},
		{"five", make([]Partition, 5), "room for 4"},
	} {
		err := (&Table{Partitions: tc.parts}).Check(100)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
	far := Table{Partitions: []Partition{{Start: 2048, Sectors: 1 << 33}}}
	if err := far.Check(1 << 34); err == nil || !strings.Contains(err.Error(), "2 TiB") {
		t.Errorf("a partition of 4 TiB: error %v", err)
	}
}

func TestParseSignature(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]uint32{"0x14fc63d2": 0x14fc63d2, "0xFFFFFFFF": 0xffffffff, "0x0": 0, "0xabc": 0xabc} {
		if got, err := ParseSignature(in); err != nil || got != want {
			t.Errorf("ParseSignature(%q) = %x, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0x", "14fc63d2", "0X14fc63d2", "0x14fc63d2a", "0x+1", "0x-1", "0x1_0", "0xg", " 0x1", "76a22bf4-f153-4541-b6c7-0332c0dfaeac"} {
		if got, err := ParseSignature(in); err == nil {
			t.Errorf("ParseSignature(%q) = %x, want an error", in, got)
		}
	}
}

package gpt

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

func sample() *Table {
	id := must("d209c89e-ea5e-4fbd-b161-b461cce297e0")
	return &Table{ID: id, Partitions: []Partition{
		{Start: 2048, Sectors: 2048, Type: TypeBIOSBoot, ID: id.Derive("1"), Bootable: true},
		{Start: 4096, Sectors: 20480, Type: TypeESP, ID: id.Derive("2"), Name: "EFI System Ümlaut"},
		{Start: 24576, Sectors: 131072 - 24576 - Reserved, Type: TypeLinux, ID: must("6264d520-3fb9-423f-8ab8-7a0a8e3d3562"), Name: strings.Repeat("x", 36)},
	}}
}

// TestWrite lets other programs read the table.
func TestWrite(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "disk")
	const sectors = 131072
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(sectors * disk.SectorSize); err != nil {
		t.Fatal(err)
	}
	code := bytes.Repeat([]byte{0xee}, 440)
	if _, err := f.WriteAt(code, 0); err != nil {
		t.Fatal(err)
	}
	if err := sample().Write(f, sectors); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 440)
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, code) {
		t.Errorf("the boot code was changed (%v)", err)
	}
	sfdisk, err := tool.Find("fdisk", "sfdisk")
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command(sfdisk, "--verify", name).CombinedOutput(); err != nil || !strings.Contains(string(out), "No errors detected") {
		t.Errorf("sfdisk --verify: %v: %s", err, out)
	}
	out, err := exec.Command(sfdisk, "--dump", name).CombinedOutput()
	if err != nil {
		t.Fatalf("sfdisk: %s", out)
	}
	text := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range []string{
		"label: gpt label-id: D209C89E-EA5E-4FBD-B161-B461CCE297E0", "first-lba: 34 last-lba: 131038",
		"start= 2048, size= 2048, type=21686148-6449-6E6F-744E-656564454649, uuid=" + strings.ToUpper(sample().Partitions[0].ID.String()) + ", attrs=\"LegacyBIOSBootable\"",
		"start= 4096, size= 20480, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=" + strings.ToUpper(sample().Partitions[1].ID.String()),
		"type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, uuid=6264D520-3FB9-423F-8AB8-7A0A8E3D3562, name=\"" + strings.Repeat("x", 36) + `"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Table){
		"partition 2 is empty":                 func(t *Table) { t.Partitions[1].Sectors = 0 },
		"starts in sector 33":                  func(t *Table) { t.Partitions[0].Start = 33 },
		"partition 3 reaches sector 131039":    func(t *Table) { t.Partitions[2].Sectors++ },
		"partition 3 overlaps partition 2":     func(t *Table) { t.Partitions[1].Sectors++ },
		"partition 2 overlaps partition 1":     func(t *Table) { t.Partitions[1].Start = 3000 },
		"partition 2 has the identifier of":    func(t *Table) { t.Partitions[1].ID = t.Partitions[0].ID },
		"partition 1 has no type":              func(t *Table) { t.Partitions[0].Type = disk.UUID{} },
		"is longer than 36 characters":         func(t *Table) { t.Partitions[0].Name = strings.Repeat("x", 37) },
		"129 partitions":                       func(t *Table) { t.Partitions = make([]Partition, 129) },
		"partition 1 reaches sector 184467440": func(t *Table) { t.Partitions[0].Sectors = 1<<64 - 1 - 2048 },
	} {
		table := sample()
		change(table)
		if err := table.Check(131072); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if err := sample().Check(67); err == nil || !strings.Contains(err.Error(), "too small for a GPT") {
		t.Errorf("a tiny disk: %v", err)
	}
}

func TestParseType(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]disk.UUID{
		"linux": TypeLinux, "U": TypeESP, "swap": TypeSwap, "21686148-6449-6E6F-744E-656564454649": TypeBIOSBoot,
	} {
		if got, err := ParseType(text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "83", "ext4"} {
		if _, err := ParseType(text); err == nil || !strings.Contains(err.Error(), "write a UUID") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

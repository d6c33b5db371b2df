package partitions

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const diskSize = 64 << 20

// sfdisk makes a disk with the partitions that a script describes.
func sfdisk(t testing.TB, script string) []byte {
	t.Helper()
	program, err := exec.LookPath("sfdisk")
	if err != nil {
		if program, err = exec.LookPath("/sbin/sfdisk"); err != nil {
			t.Skip("sfdisk is not installed")
		}
	}
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, diskSize); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-q", "--no-reread", "--no-tell-kernel", name)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %s", out)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const gptScript = `label: gpt
label-id: 6F0E0D3C-0000-4A4A-8B8B-000000000000
first-lba: 34
start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, uuid=6F0E0D3C-4444-4A4A-8B8B-000000000004, name=bios
start=4096, size=65536, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=6F0E0D3C-5555-4A4A-8B8B-000000000005, name=ESP
start=69632, type=B921B045-1DF0-41C3-AF44-4C6F280D3FAE, uuid=6F0E0D3C-3333-4A4A-8B8B-000000000003, name="root-ä", attrs=LegacyBIOSBootable
`

const dosScript = `label: dos
label-id: 0x6f0e0d3c
start=2048, size=20480, type=ef
start=22528, size=2048, type=83, bootable
start=24576, type=5
start=26624, size=2048, type=82
start=30720, size=2048, type=83
`

func TestReadGPT(t *testing.T) {
	t.Parallel()
	data := sfdisk(t, gptScript)
	table, err := Read(bytes.NewReader(data), diskSize)
	if err != nil {
		t.Fatal(err)
	}
	if table.Kind != GPT || table.ID != "6f0e0d3c-0000-4a4a-8b8b-000000000000" || table.BootCode || len(table.Problems) != 0 {
		t.Errorf("%+v", table)
	}
	want := Partition{Number: 3, Start: 69632 * 512, Size: 131072*512 - 69632*512 - 33*512, Type: rootARM64, UUID: "6f0e0d3c-3333-4a4a-8b8b-000000000003", Name: "root-ä", Bootable: true}
	if len(table.Partitions) != 3 || table.Partitions[2].Number != 3 || table.Partitions[2].Name != want.Name || table.Partitions[2].Start != want.Start ||
		table.Partitions[2].Type != want.Type || table.Partitions[2].UUID != want.UUID || !table.Partitions[2].Bootable {
		t.Errorf("%+v", table.Partitions)
	}
	if esp := table.ESP(); esp == nil || esp.Number != 2 || esp.TypeName() != "EFI system" {
		t.Errorf("%+v", esp)
	}
	if a := table.Architecture(); a != "arm64" {
		t.Errorf("architecture %q", a)
	}
	// With the first copy damaged, the second is read.
	damaged := bytes.Clone(data)
	damaged[512+56]++
	second, err := Read(bytes.NewReader(damaged), diskSize)
	if err != nil || len(second.Partitions) != 3 || !strings.Contains(strings.Join(second.Problems, ""), "the first copy of the partition table: the checksum") {
		t.Errorf("%+v, %v", second, err)
	}
	damaged = bytes.Clone(data)
	damaged[1024+4096]++
	if second, err = Read(bytes.NewReader(damaged), diskSize); err != nil || len(second.Problems) != 1 {
		t.Errorf("%+v, %v", second, err)
	}
	// A disk that was cut off has no second copy.
	short, err := Read(bytes.NewReader(data[:32<<20]), 32<<20)
	if err != nil || len(short.Problems) != 3 {
		t.Errorf("%+v, %v", short, err)
	}
	if _, err := Read(bytes.NewReader(damaged[:8<<20]), 8<<20); err == nil {
		t.Error("a table without a whole copy is read")
	}
}

func TestReadDOS(t *testing.T) {
	t.Parallel()
	data := sfdisk(t, dosScript)
	data[0] = 0xfa
	table, err := Read(bytes.NewReader(data), diskSize)
	if err != nil {
		t.Fatal(err)
	}
	if table.Kind != DOS || table.ID != "0x6f0e0d3c" || !table.BootCode || len(table.Problems) != 0 {
		t.Errorf("%+v", table)
	}
	var numbers []int
	for _, p := range table.Partitions {
		numbers = append(numbers, p.Number)
	}
	if len(numbers) != 5 || numbers[4] != 6 {
		t.Fatalf("partitions %v", numbers)
	}
	if p := table.Partitions[4]; p.Start != 30720*512 || p.Size != 2048*512 || p.UUID != "6f0e0d3c-06" || p.Type != "83" || p.Bootable {
		t.Errorf("%+v", p)
	}
	if p := table.Partitions[1]; !p.Bootable || p.Start != 22528*512 {
		t.Errorf("%+v", p)
	}
	if esp := table.ESP(); esp == nil || esp.Number != 1 {
		t.Errorf("%+v", esp)
	}
	// A chain that leads back to its start ends.
	loop := bytes.Clone(data)
	ebr := loop[24576*512:]
	copy(ebr[446+16:], []byte{0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0})
	table, err = Read(bytes.NewReader(loop), diskSize)
	if err != nil || len(table.Partitions) > maxLogical+4 || !strings.Contains(strings.Join(table.Problems, ""), "more than 128 links") {
		t.Errorf("%d partitions, %v, %v", len(table.Partitions), table.Problems, err)
	}
	// Two partitions at one place, and one that leaves the disk.
	bad := bytes.Clone(data)
	copy(bad[446+16+8:], bad[446+8:446+12])
	copy(bad[446+16+12:], []byte{0xff, 0xff, 0xff, 0x7f})
	table, err = Read(bytes.NewReader(bad), diskSize)
	if problems := strings.Join(table.Problems, "; "); err != nil || !strings.Contains(problems, "overlap") || !strings.Contains(problems, "partition 2 ends behind the disk") {
		t.Errorf("%v, %v", table.Problems, err)
	}
}

func TestNoTable(t *testing.T) {
	t.Parallel()
	empty := make([]byte, 1<<20)
	fat := make([]byte, 1<<20)
	copy(fat, "\xeb\x3c\x90mkfs.fat")
	fat[510], fat[511] = 0x55, 0xaa
	for _, data := range [][]byte{empty, fat} {
		if _, err := Read(bytes.NewReader(data), int64(len(data))); !errors.Is(err, ErrNone) {
			t.Errorf("error %v", err)
		}
	}
	if _, err := Read(bytes.NewReader(nil), 0); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("an empty disk: %v", err)
	}
}

// FuzzRead changes single bytes of what stands at the start and at the end of a
// disk: each three bytes of the input are a place and a value.
func FuzzRead(f *testing.F) {
	var disks [][]byte
	for _, script := range []string{gptScript, dosScript} {
		d := sfdisk(f, script)
		disks = append(disks, append(bytes.Clone(d[:34*512]), d[len(d)-33*512:]...))
	}
	f.Add(false, []byte{2, 0x48, 1})
	f.Add(true, []byte{1, 0xc2, 5})
	f.Fuzz(func(t *testing.T, dos bool, edits []byte) {
		d := bytes.Clone(disks[0])
		if dos {
			d = bytes.Clone(disks[1])
		}
		for ; len(edits) >= 3; edits = edits[3:] {
			d[(int(edits[0])<<8|int(edits[1]))%len(d)] = edits[2]
		}
		table, err := Read(bytes.NewReader(d), int64(len(d)))
		if err != nil {
			return
		}
		if len(table.Partitions) > maxEntries {
			t.Errorf("%d partitions", len(table.Partitions))
		}
		for _, p := range table.Partitions {
			if p.Start < 0 || p.Size < 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}

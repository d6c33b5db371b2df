package assemblers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/luks"
	"github.com/osbuildkit/osbuildkit/disk/lvm"
	"github.com/osbuildkit/osbuildkit/disk/partitions"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/module"
)

// layerOptions is a disk with all layers. Each partition has a size but the
// second, which takes what is free before the third.
const layerOptions = `{"format":"raw","filename":"disk.raw","pttype":"gpt","ptuuid":"d209c89e-ea5e-4fbd-b161-b461cce297e0","size":1073741824,"partitions":[
	{"size":262144,"name":"root","type":"4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709","filesystem":{"type":"btrfs","uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","mountpoint":"/","verity":true}},
	{"filesystem":{"type":"ext4","mountpoint":"/opt","verity":true}},
	{"start":696320,"size":409600,"luks":{"passphrase_secret":"key","label":"home","volume_key":"derived","pbkdf":{"iterations":1,"memory":64,"parallelism":1}},"filesystem":{"type":"ext4","mountpoint":"/home"}},
	{"size":409600,"lvm":{"name":"vg","volumes":[{"name":"var","size":300000,"filesystem":{"type":"xfs","mountpoint":"/var"}},{"name":"empty","size":1},{"name":"swap","filesystem":{"type":"swap"}}]}},
	{"luks":{"passphrase_secret":"key","volume_key":"derived","sector_size":4096,"pbkdf":{"method":"pbkdf2","iterations":1000}},
		"lvm":{"name":"secret","volumes":[{"name":"srv","size":276480,"filesystem":{"type":"btrfs","mountpoint":"/srv"}},{"name":"swap","filesystem":{"type":"swap"}}]}}]}`

// assembleSecret runs org.osbuild.qemu with the secret "key".
func assembleSecret(ctx context.Context, t *testing.T, tree string, options json.RawMessage, secret string) (string, string, error) {
	t.Helper()
	out, file := t.TempDir(), filepath.Join(t.TempDir(), "key")
	if secret != "" {
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	m := module.Find(Modules(), "org.osbuild.qemu")
	err := m.Run(ctx, &module.Input{Tree: tree, Options: options, OutputDir: out, BuildRoot: "/", Epoch: 1700000000, Log: &log, Secrets: map[string]string{"key": file}})
	return out, log.String(), err
}

// cut copies a part of a disk, without holes, into a file of its own.
func cut(t *testing.T, src io.ReaderAt, start, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "part")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := sparse.NewWriter(f)
	if _, err := io.CopyBuffer(w, io.NewSectionReader(src, start, size), make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return name
}

// clean runs a program that must find nothing wrong.
func clean(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v: %s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestLayers(t *testing.T) {
	t.Parallel()
	need(t, "veritysetup", "cryptsetup", "pvck", "sfdisk", "xfs_repair", "btrfs", "e2fsck")
	tree := smallTree(t, "home/user/file", "var/lib/state", "srv/data", "opt/program")
	out, log, err := assembleSecret(t.Context(), t, tree, json.RawMessage(layerOptions), "correct horse\n")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log, "correct") {
		t.Errorf("the log has the passphrase: %s", log)
	}
	if got := names(t, out); got != "SHA256SUMS disk.raw disk.raw.2.roothash disk.raw.roothash" {
		t.Errorf("the output has %s", got)
	}
	clean(t, "sfdisk", "--verify", filepath.Join(out, "disk.raw"))
	clean(t, "sh", "-c", "cd "+out+" && sha256sum -c SHA256SUMS")
	f, err := os.Open(filepath.Join(out, "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := partitions.Read(f, 1<<30)
	if err != nil || len(table.Partitions) != 7 || len(table.Problems) > 0 {
		t.Fatalf("%+v, %v", table, err)
	}
	part := func(n int) string {
		t.Helper()
		p := table.Partitions[n]
		return cut(t, f, p.Start, p.Size)
	}
	for i, want := range []string{"Linux root (x86-64)", "Linux", "LUKS", "Linux LVM", "LUKS", "Linux root verity (x86-64)", "Linux"} {
		if got := table.Partitions[i].TypeName(); got != want {
			t.Errorf("partition %d has the type %s, want %s", i+1, got, want)
		}
	}
	if a, b := table.Partitions[5].Name, table.Partitions[6].Name; a != "root-verity" || b != "verity" {
		t.Errorf("hash partitions %q and %q", a, b)
	}

	for i, name := range []string{"disk.raw.roothash", "disk.raw.2.roothash"} {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		root := strings.TrimSpace(string(text))
		clean(t, "veritysetup", "verify", part(i), part(5+i), root)
		id := strings.ReplaceAll(table.Partitions[i].UUID+table.Partitions[5+i].UUID, "-", "")
		if (id == root) != (i == 0) {
			t.Errorf("the identifiers of partition %d and its hash tree are %s, and the root hash is %s", i+1, id, root)
		}
	}
	clean(t, "btrfs", "check", part(0))
	clean(t, "e2fsck", "-fn", part(1))
	checkEncrypted(t, f, table)

	pv := part(3)
	if dump := clean(t, "pvck", "--nolocking", "--dump", "metadata", pv); !strings.Contains(dump, "segment_count = 1") {
		t.Error(dump)
	}
	p := table.Partitions[3]
	clean(t, "xfs_repair", "-n", cut(t, f, p.Start+lvm.DataStart, 37*lvm.ExtentSize))
	if swap := clean(t, "blkid", "-p", cut(t, f, p.Start+lvm.DataStart+38*lvm.ExtentSize, lvm.ExtentSize)); !strings.Contains(swap, `TYPE="swap"`) {
		t.Error(swap)
	}
}

// checkEncrypted looks at the two encrypted partitions of layerOptions.
func checkEncrypted(t *testing.T, f *os.File, table *partitions.Table) {
	t.Helper()
	for _, i := range []int{2, 4} {
		p := table.Partitions[i]
		part := cut(t, f, p.Start, p.Size)
		cmd := exec.Command("cryptsetup", "open", "--test-passphrase", "--key-file=-", part)
		cmd.Stdin = strings.NewReader("correct horse")
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("cryptsetup: %v: %s", err, msg)
		}
		if data, err := os.ReadFile(part); err != nil || bytes.Contains(data, []byte("home/user/file")) || bytes.Contains(data, []byte("srv/data\n")) {
			t.Errorf("partition %d holds plain text, %v", i+1, err)
		}
		// Not all of it is random.
		if used := dataOf(t, part); used > p.Size*2/3 {
			t.Errorf("%d of %d bytes of partition %d are not zero", used, p.Size, i+1)
		}
		whole := io.NewSectionReader(f, p.Start, p.Size)
		v, err := luks.Open(whole, []byte("correct horse"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := v.Reader(whole)
		if err != nil {
			t.Fatal(err)
		}
		plain := cut(t, r, 0, p.Size-luks.HeaderSize)
		if i == 2 {
			clean(t, "e2fsck", "-fn", plain)
			if text := clean(t, "debugfs", "-R", "cat /user/file", plain); !strings.Contains(text, "home/user/file\nhome") {
				t.Error(text)
			}
			continue
		}
		clean(t, "pvck", "--nolocking", "--dump", "metadata", plain)
		clean(t, "btrfs", "check", "--check-data-csum", cut(t, r, lvm.DataStart, 276480*512/lvm.ExtentSize*lvm.ExtentSize+lvm.ExtentSize))
	}
}

// dataOf returns how many bytes of a file are no holes.
func dataOf(t *testing.T, name string) int64 {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := int64(0)
	for at := int64(0); ; {
		start, end, err := (sparse.File{File: f}).Next(at)
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n += end - start
		at = end
	}
}

// TestLayersSameBytes makes a disk twice, once of another format.
func TestLayersSameBytes(t *testing.T) {
	t.Parallel()
	need(t, "qemu-img")
	tree := smallTree(t, "home/user/file", "srv/data", "opt/program")
	one, _, err := assembleSecret(t.Context(), t, tree, json.RawMessage(layerOptions), "correct horse\n")
	if err != nil {
		t.Fatal(err)
	}
	// What is compressed before it is encrypted must not be taken.
	two, _, err := assembleSecret(t.Context(), t, tree, edit(t, layerOptions, `"raw"`, `"qcow2"`), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, filepath.Join(one, "disk.raw"), filepath.Join(two, "disk.raw"), "qcow2")
	random := edit(t, layerOptions, `"volume_key":"derived",`, "")
	three, log, err := assembleSecret(t.Context(), t, tree, random, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command("qemu-img", "compare", filepath.Join(one, "disk.raw"), filepath.Join(three, "disk.raw")).CombinedOutput(); err == nil {
		t.Errorf("random keys give the same bytes: %s", msg)
	}
	if !strings.Contains(log, "a random volume key") {
		t.Error(log)
	}
}

func TestFreeSpaceEncrypted(t *testing.T) {
	t.Parallel()
	options := `{"format":"raw","filename":"disk.raw","size":209715200,"partitions":[{"size":262144,"filesystem":{"type":"xfs","mountpoint":"/"}},
		{"luks":{"passphrase_secret":"key","encrypt_free_space":true,"pbkdf":{"iterations":1,"memory":64,"parallelism":1}},"filesystem":{"type":"vfat","mountpoint":"/data"}}]}`
	out, _, err := assembleSecret(t.Context(), t, smallTree(t), json.RawMessage(options), "x")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(out, "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	start := (2048+262144)*512 + luks.HeaderSize
	for at := start; at < len(data); at += 4096 {
		if bytes.Equal(data[at:at+512], make([]byte, 512)) {
			t.Fatalf("the block at %d is zero", at)
		}
	}
}

func TestCheckLayers(t *testing.T) {
	t.Parallel()
	if p := checkQemu(json.RawMessage(layerOptions)); len(p) > 0 {
		t.Fatalf("good options: %v", p)
	}
	for _, tc := range []struct {
		pairs         []string
		pointer, want string
	}{
		{[]string{`"size":262144`, `"size":262145`}, "/partitions/0/size", "a multiple of 8 sectors: the next is 262152"},
		{[]string{`"start":696320`, `"start":264192`}, "/partitions/0/filesystem", ""},
		{[]string{`"start":696320`, `"start":270336`}, "/partitions/1", "no space is left for the hash tree"},
		{[]string{`{"type":"ext4","mountpoint":"/opt","verity":true}`, `{"type":"swap","verity":true}`}, "/partitions/1/filesystem/verity", "swap is written to"},
		{[]string{`{"type":"ext4","mountpoint":"/home"}`, `{"type":"ext4","mountpoint":"/home","verity":true}`}, "/partitions/2/filesystem/verity", "verity on an encrypted partition"},
		{[]string{`"label":"home"`, `"label":"` + strings.Repeat("l", 48) + `"`}, "/partitions/2/luks/label", "can have 47"},
		{[]string{`"label":"home"`, `"uuid":"1"`}, "/partitions/2/luks/uuid", "is not a UUID"},
		{[]string{`"key","label"`, `"../key","label"`}, "/partitions/2/luks/passphrase_secret", "is not the name of a secret"},
		{[]string{`"derived","pbkdf"`, `"guessed","pbkdf"`}, "/partitions/2/luks/volume_key", "use random or derived"},
		{[]string{`"iterations":1,"memory":64`, `"iterations":1,"memory":1`}, "/partitions/2/luks/pbkdf", "KiB of memory"},
		{[]string{`"method":"pbkdf2"`, `"method":"scrypt"`}, "/partitions/4/luks/pbkdf", "use argon2id or pbkdf2"},
		{[]string{`{"type":"btrfs","mountpoint":"/srv"}`, `{"type":"xfs","mountpoint":"/srv"}`}, "/partitions/4/luks/sector_size", "the file system of /srv is xfs"},
		{[]string{`"sector_size":4096`, `"sector_size":1024`}, "/partitions/4/luks/sector_size", "use 512 or 4096"},
		{[]string{`"size":409600,"luks"`, `"size":32768,"luks"`}, "/partitions/2", "has a header of 32768 sectors"},
		{[]string{`"size":409600,"luks"`, `"size":32776,"luks"`}, "/partitions/2/size", "has 4096 bytes, and ext4 needs at least"},
		{[]string{`},"filesystem":{"type":"ext4","mountpoint":"/home"}}`, `}}`}, "/partitions/2/luks", "holds nothing to encrypt"},
		{[]string{`{"type":"ext4","mountpoint":"/home"}`, `{"type":"vfat","mountpoint":"/boot/efi"}`}, "/partitions/2/luks", "firmware reads this file system"},
		{[]string{`"name":"vg"`, `"name":"v g"`}, "/partitions/3/lvm/name", "not a name of LVM"},
		{[]string{`"name":"empty","size":1`, `"name":"empty"`}, "/partitions/3/lvm/volumes/1/size", "only the last volume"},
		{[]string{`"name":"empty"`, `"name":"var"`}, "/partitions/3/lvm/volumes/1/name", "vg/var is the name of volume 1 of partition 4 too"},
		{[]string{`"size":300000`, `"size":400000`}, "/partitions/3/lvm", `the volume "swap" has no extents`},
		{[]string{`"size":300000`, `"size":500000`}, "/partitions/3/lvm", "and the physical volume has 49"},
		{[]string{`"mountpoint":"/var"`, `"mountpoint":"/home"`}, "/partitions/3/lvm/volumes/0/filesystem/mountpoint", "/home is the mount point of partition 3 already"},
		{[]string{`"mountpoint":"/var"`, `"mountpoint":"/var","verity":true`}, "/partitions/3/lvm/volumes/0/filesystem/verity", "use a partition"},
		{[]string{`{"type":"xfs","mountpoint":"/var"}`, `{"type":"zfs","mountpoint":"/var"}`}, "/partitions/3/lvm/volumes/0/filesystem/type", "is not supported"},
		{[]string{`{"type":"xfs","mountpoint":"/var"}`, `{"type":"vfat","mountpoint":"/efi"}`}, "/partitions/3/lvm/volumes/0", "finds no logical volumes"},
		{[]string{`"lvm":{"name":"vg"`, `"filesystem":{"type":"ext4","mountpoint":"/x"},"lvm":{"name":"vg"`}, "/partitions/3/lvm", "a file system or a volume group, not both"},
		{[]string{`"partitions"`, `"bootloader":{"type":"grub2"},"partitions"`, `"/home"`, `"/boot"`}, "/bootloader", "/boot lies in the file system of /boot (partition 3), an encrypted partition"},
		{[]string{`"partitions"`, `"bootloader":{"type":"grub2"},"partitions"`, `"/var"`, `"/boot"`}, "/bootloader", "/boot lies in the file system of /boot (volume vg/var), a logical volume"},
		{[]string{`"disk.raw"`, `"` + strings.Repeat("d", 250) + `"`}, "/filename", "and a file system takes 255"},
	} {
		problems := checkQemu(edit(t, layerOptions, tc.pairs...))
		found := tc.want == "" && len(problems) > 0
		for _, p := range problems {
			found = found || p.Pointer == tc.pointer && strings.Contains(p.Message, tc.want)
		}
		if !found {
			t.Errorf("%q: got %v, want %s %q", tc.pairs, problems, tc.pointer, tc.want)
		}
	}
	if p := checkQemu(edit(t, layerOptions, `"gpt","ptuuid":"d209c89e-ea5e-4fbd-b161-b461cce297e0"`, `"dos"`, `,"type":"4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"`, "", `"name":"root"`, `"bootable":true`)); len(p) != 1 || !strings.Contains(p[0].Message, "7 partitions: a DOS partition table has room for 4") {
		t.Errorf("seven partitions: %v", p)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(qemuSecrets(json.RawMessage(layerOptions))); got != "[{key /partitions/2/luks/passphrase_secret {1 64 1 1000}}]" {
		t.Error(got)
	}
	for _, tc := range []struct{ content, want string }{
		{"word", "word"}, {"word\n", "word"}, {"word\n\n", "word\n\n"}, {"two\nlines\n", "two\nlines\n"}, {"\x00\xff\n", "\x00\xff\n"}, {"ü ß\n", "ü ß"},
	} {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
			t.Fatal(err)
		}
		in := &module.Input{Secrets: map[string]string{"s": file}}
		if got, err := in.ReadSecret("s"); err != nil || string(got) != tc.want {
			t.Errorf("%q is read as %q, %v", tc.content, got, err)
		}
	}
	part := module.Find(Modules(), "org.osbuildkit.secrets")
	dir := t.TempDir()
	for name, n := range map[string]int{"empty": 0, "large": module.MaxSecret + 1, "good": 9} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"good": "", "empty": "the secret empty: it is empty", "large": "it is larger than 65536 bytes",
		"missing": "the secret missing: the build has no such secret: give it with --secret id=missing,src=FILE",
	} {
		in := &module.Input{
			Options:   json.RawMessage(`{"secrets":["` + name + `"],"digest":{"salt":"s"},"build":"1"}`),
			OutputDir: t.TempDir(), Secrets: map[string]string{name: filepath.Join(dir, name)},
		}
		err := part.Run(t.Context(), in)
		digest := module.SecretsDigest{Salt: "s"}
		if got, _ := os.ReadFile(filepath.Join(in.OutputDir, module.SecretsDigestFile)); want == "" && (digest.Compute(in) != nil || string(got) != digest.Sum) {
			t.Errorf("the digest is %q, want %q", got, digest.Sum)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", name, err)
		}
		if got := part.Secrets(in.Options); len(got) != 1 || got[0].Name != name {
			t.Error(got)
		}
	}
	// The assembler says so before it writes.
	out, _, err := assembleSecret(t.Context(), t, smallTree(t), json.RawMessage(layerOptions), "")
	if err == nil || !strings.Contains(err.Error(), "--secret id=key,src=FILE") || names(t, out) != "" {
		t.Errorf("%v, the output has %s", err, names(t, out))
	}
	if _, _, err := assembleSecret(t.Context(), t, smallTree(t), json.RawMessage(layerOptions), strings.Repeat("x", 600)); err == nil || !strings.Contains(err.Error(), "has 600 bytes") {
		t.Error(err)
	}
}

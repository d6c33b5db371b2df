//go:build e2e

package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/luks"
	"github.com/osbuildkit/osbuildkit/disk/lvm"
	"github.com/osbuildkit/osbuildkit/disk/partitions"
)

// layersManifest is a disk with a root that verity protects, an encrypted
// volume group, and one that is not encrypted. Its identifier is a new one each
// time, so that a store that is kept does not have the image.
func layersManifest() object {
	id := fmt.Sprintf("d209c89e-ea5e-4fbd-b161-%012x", time.Now().UnixNano()&(1<<48-1))
	secret := object{"passphrase_secret": "disk-key", "label": "secret", "volume_key": "derived", "pbkdf": object{"memory": 8192}}
	volume := func(name string, size int, fs object) object {
		v := object{"name": name, "filesystem": fs}
		if size > 0 {
			v["size"] = size
		}
		return v
	}
	root := filesystem("ext4", rootID, "/")
	root["verity"] = true
	return object{
		"stages": []any{bootstrap(), stage("org.osbuild.hostname", object{"hostname": "layers"})},
		"assembler": stage("org.osbuild.qemu", object{
			"format": "raw", "filename": "disk.raw", "pttype": "gpt", "size": 3 << 30, "ptuuid": id,
			"partitions": []object{
				partition(1<<21, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", root),
				{"size": 1 << 20, "luks": secret, "lvm": object{"name": "private", "volumes": []object{
					volume("home", 300<<11, filesystem("xfs", "", "/home")), volume("var", 0, filesystem("ext4", "", "/var")),
				}}},
				{"size": 1 << 20, "lvm": object{"name": "open", "volumes": []object{
					volume("opt", 200<<11, filesystem("btrfs", "", "/opt")), volume("swap", 0, object{"type": "swap"}),
				}}},
				{"luks": object{"passphrase_secret": "disk-key", "sector_size": 4096}, "filesystem": filesystem("ext4", "", "/srv")},
			},
		}),
	}
}

// TestDiskLayers builds a disk with all that lies between partitions and file
// systems, and lets the tools of each look at it.
func TestDiskLayers(t *testing.T) {
	need(t, "veritysetup", "cryptsetup", "pvck", "e2fsck", "xfs_repair", "btrfs", "sfdisk")
	file := manifestFile(t, "layers.json", layersManifest())
	const passphrase = "correct-horse-battery-staple-8412"
	dir := t.TempDir()

	// Without the secret nothing is installed, let alone written.
	p := startBuild(t, "-o", dir, file).wait()
	if text := p.text(); p.code() == 0 || !strings.Contains(text, "the build has no such secret: give it with --secret id=disk-key,src=FILE") || !strings.Contains(text, "layers.json:") {
		t.Errorf("without the secret: exit code %d: %s", p.code(), text)
	}
	if n := p.count("[tree "); n > 0 || len(files(t, dir)) > 0 {
		t.Errorf("without the secret %d steps of the tree ran, and there are the files %q", n, files(t, dir))
	}

	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p = build(t, "-o", dir, "--secret", "id=disk-key,src="+key, file)
	t.Logf("built in %.1f s", p.took.Seconds())
	if strings.Contains(p.text(), passphrase) {
		t.Error("the passphrase is shown")
	}
	checkLayers(t, dir, passphrase)
	checkInfo(t, filepath.Join(dir, "disk.raw"))
	if where := holds(t, passphrase, shared.store, dir); len(where) > 0 {
		t.Errorf("the passphrase is in %q", where)
	}

	// The same passphrase, with or without the end of a line, is the same step.
	image := filepath.Join(dir, "disk.raw")
	before := sha256File(t, image)
	again := func(passphrase, want string) {
		t.Helper()
		if err := os.WriteFile(key, []byte(passphrase), 0o600); err != nil {
			t.Fatal(err)
		}
		p := build(t, "-o", dir, "--secret", "id=disk-key,src="+key, file)
		t.Logf("built again in %.1f s", p.took.Seconds())
		var ran []string
		for _, name := range withoutSolves(p.ran()) {
			_, part, _ := strings.Cut(name, "org.osbuild.qemu")
			ran = append(ran, part)
		}
		if got := strings.Join(ran, ","); got != want {
			t.Errorf("with %q the steps %q ran, want %q", passphrase, got, want)
		}
	}
	again(passphrase, ": look for its secrets")
	if sha256File(t, image) != before {
		t.Error("with the same passphrase the image is another")
	}
	checkPassphrase(t, image, 4, passphrase, "another")
	again("another", ",: look for its secrets")
	checkPassphrase(t, image, 4, "another", passphrase)
	// The first one is still in the cache.
	again(passphrase, ": look for its secrets")
	checkPassphrase(t, image, 4, passphrase, "another")
}

// checkPassphrase lets cryptsetup open partition n of a disk, and wants one
// passphrase to fit and the other one not to.
func checkPassphrase(t *testing.T, image string, n int, fits, other string) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := partitions.Read(f, info.Size())
	if err != nil || len(table.Partitions) < n {
		t.Fatalf("%+v, %v", table, err)
	}
	part := filepath.Join(t.TempDir(), "part")
	copyRange(t, image, part, table.Partitions[n-1].Start, table.Partitions[n-1].Size)
	for passphrase, want := range map[string]int{fits: 0, other: 2} {
		cmd := exec.Command("cryptsetup", "open", "--test-passphrase", "--key-file=-", part)
		cmd.Stdin = strings.NewReader(passphrase)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("cryptsetup with %q: exit code %d, want %d: %v: %s", passphrase, code, want, err, out)
		}
	}
}

// checkLayers looks at the disk of layersManifest.
func checkLayers(t *testing.T, dir, passphrase string) {
	t.Helper()
	image := filepath.Join(dir, "disk.raw")
	checkDisk(t, image)
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := partitions.Read(f, 3<<30)
	if err != nil || len(table.Partitions) != 5 {
		t.Fatalf("%+v, %v", table, err)
	}
	part := func(n int) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "part")
		copyRange(t, image, name, table.Partitions[n].Start, table.Partitions[n].Size)
		return name
	}
	clean := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Errorf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	hash, err := os.ReadFile(image + ".roothash")
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(hash))
	clean("veritysetup", "verify", part(0), part(4), root)
	if ids := strings.ReplaceAll(table.Partitions[0].UUID+table.Partitions[4].UUID, "-", ""); ids != root {
		t.Errorf("the partitions have the identifiers %s, and the root hash is %s", ids, root)
	}
	if sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS")); err != nil || !strings.Contains(string(sums), "disk.raw.roothash") {
		t.Errorf("%s, %v", sums, err)
	}
	clean("pvck", "--nolocking", "--dump", "metadata", part(2))
	for _, i := range []int{1, 3} {
		q := table.Partitions[i]
		cmd := exec.Command("cryptsetup", "open", "--test-passphrase", "--key-file=-", part(i))
		cmd.Stdin = strings.NewReader(passphrase)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("cryptsetup: %v: %s", err, out)
		}
		whole := io.NewSectionReader(f, q.Start, q.Size)
		v, err := luks.Open(whole, []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		r, err := v.Reader(whole)
		if err != nil {
			t.Fatal(err)
		}
		plain := filepath.Join(t.TempDir(), "plain")
		out, err := os.Create(plain)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.CopyBuffer(out, io.NewSectionReader(r, 0, q.Size-v.Offset), make([]byte, 1<<20))
		if err := errors.Join(err, out.Close()); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			clean("e2fsck", "-fn", plain)
			continue
		}
		clean("pvck", "--nolocking", "--dump", "metadata", plain)
		home, rest := filepath.Join(filepath.Dir(plain), "home"), filepath.Join(filepath.Dir(plain), "var")
		copyRange(t, plain, home, lvm.DataStart, 300<<20)
		copyRange(t, plain, rest, lvm.DataStart+300<<20, lvm.Extents(q.Size-v.Offset)*lvm.ExtentSize-300<<20)
		clean("xfs_repair", "-n", home)
		clean("e2fsck", "-fn", rest)
		if got := clean("debugfs", "-R", "cat /lib/dpkg/status", rest); !strings.Contains(got, "Package: base-files") {
			t.Errorf("var/lib/dpkg/status is %.200q", got)
		}
	}
}

// checkInfo looks at what is said about the image.
func checkInfo(t *testing.T, image string) {
	t.Helper()
	var info struct {
		Partitions []struct {
			TypeName   string `json:"type_name"`
			Filesystem struct{ Type, Label string }
		}
	}
	if err := json.Unmarshal([]byte(output(t, shared.program, "image", "info", "--json", image)), &info); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range info.Partitions {
		got = append(got, p.TypeName+": "+p.Filesystem.Type+" "+p.Filesystem.Label)
	}
	want := "Linux root (x86-64): ext4 , LUKS: crypto_LUKS secret, Linux LVM: LVM2_member open, LUKS: crypto_LUKS , Linux root verity (x86-64): DM_verity_hash "
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("image info says %s, want %s", text, want)
	}
}

// holds lists the files below directories that hold a text.
func holds(t *testing.T, text string, dirs ...string) []string {
	t.Helper()
	var out []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // what comes and goes while one looks
			}
			f, err := os.Open(name)
			if err != nil {
				return nil
			}
			defer f.Close()
			buf, kept := make([]byte, 1<<20+len(text)), 0
			for {
				n, err := f.Read(buf[kept : kept+1<<20])
				if bytes.Contains(buf[:kept+n], []byte(text)) {
					out = append(out, name)
					return nil
				}
				if err != nil {
					return nil
				}
				kept = copy(buf, buf[max(0, kept+n-len(text)):kept+n])
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// layersScript sets up a system that opens an encrypted volume group at boot,
// and says what it finds there.
const layersScript = `#!/bin/sh
set -eu
mkdir -p /etc/keys /home /srv
printf %s boot-passphrase > /etc/keys/private.key
chmod 400 /etc/keys/private.key
echo 'private UUID=0b6fb0a4-9a4e-4b5c-8b1c-7d1b2f0c9e11 /etc/keys/private.key luks' > /etc/crypttab
cat > /etc/fstab <<F
UUID=` + rootID + ` / ext4 defaults 0 1
/dev/vg-private/home /home ext4 defaults 0 0
/dev/open/srv /srv xfs defaults 0 0
F
echo from-home > /home/marker
echo from-srv > /srv/marker
cat > /etc/systemd/system/layers.service <<'F'
[Unit]
RequiresMountsFor=/home /srv
After=local-fs.target
[Service]
Type=oneshot
StandardOutput=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh -c 'touch /home/new /srv/new && sync && echo "layers: $(cat /home/marker) $(cat /srv/marker) $(lvs --noheadings -O lv_name -o lv_name | tr -d "[:space:]") $(lsblk -no TYPE -s /dev/vg-private/home | grep crypt)"'
[Install]
WantedBy=multi-user.target
F
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s ../layers.service /etc/systemd/system/multi-user.target.wants/layers.service
`

// TestDiskLayersBoot boots a system whose /home lies in an encrypted volume
// group, and /srv in one that is not encrypted.
func TestDiskLayersBoot(t *testing.T) {
	need(t, "qemu-system-x86_64")
	stages := (&bootCase{loader: "bios"}).stages()
	stages[1] = stage("org.osbuildkit.apt", object{"packages": []string{"initramfs-tools", "linux-image-cloud-amd64", "systemd-sysv", "udev", "cryptsetup", "systemd-cryptsetup", "lvm2"}})
	file := manifestFile(t, "layers.json", object{
		"stages": append(stages, stage("org.osbuild.script", object{"script": layersScript})),
		"assembler": stage("org.osbuild.qemu", object{
			"format": "qcow2", "filename": "disk.qcow2", "pttype": "gpt", "size": 3 << 30, "ptuuid": "d209c89e-ea5e-4fbd-b161-b461cce297e0",
			"bootloader": object{"type": "grub2", "platform": "i386-pc"},
			"partitions": []object{
				partition(2048, typeBIOSBoot, nil),
				partition(1<<22, "", filesystem("ext4", rootID, "/")),
				{
					"size": 1 << 19, "luks": object{"passphrase_secret": "disk-key", "uuid": "0b6fb0a4-9a4e-4b5c-8b1c-7d1b2f0c9e11", "pbkdf": object{"memory": 8192, "parallelism": 1}},
					"lvm": object{"name": "vg-private", "volumes": []object{{"name": "home", "filesystem": filesystem("ext4", "", "/home")}}},
				},
				{"lvm": object{"name": "open", "volumes": []object{{"name": "srv", "filesystem": filesystem("xfs", "", "/srv")}}}},
			},
		}),
	})
	t.Setenv("DISK_KEY", "boot-passphrase")
	dir := t.TempDir()
	p := build(t, "-o", dir, "--secret", "id=disk-key,env=DISK_KEY", file)
	t.Logf("built in %.1f s", p.took.Seconds())
	bootImage(t, filepath.Join(dir, "disk.qcow2"), "--firmware", "bios", "--wait-for", "layers: from-home from-srv homesrv crypt")
}

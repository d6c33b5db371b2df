//go:build e2e

package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kernelCase is a machine that gets another kernel.
type kernelCase struct {
	name string
	// packages are those that bring the tools for new kernels.
	packages   []string
	bootloader object
	firmware   []string
}

func kernelCases() []kernelCase {
	return []kernelCase{
		{"grub", []string{"grub2-common"}, object{"type": "grub2", "platform": []string{"i386-pc", "x86_64-efi"}}, []string{"bios", "uefi"}},
		{"entries", []string{"systemd-boot"}, object{"type": "systemd-boot", "kernel_opts": "console=ttyS0"}, []string{"uefi"}},
		{"images", []string{"systemd-boot", "systemd-ukify"}, object{"type": "systemd-boot", "kernel_opts": "console=ttyS0"}, []string{"uefi"}},
	}
}

// manifest is that of a disk with a GPT for both kinds of firmware. What the
// machines have in common with those of TestBoots comes first.
func (c *kernelCase) manifest() object {
	common := &bootCase{loader: "uki"}
	stages := append(common.stages(), stage("org.osbuildkit.apt", object{"packages": c.packages}), stage("org.osbuild.fstab", object{"filesystems": []object{
		{"uuid": espID, "vfs_type": "vfat", "path": "/boot/efi", "options": "umask=0077"},
		{"uuid": rootID, "vfs_type": "ext4", "path": "/", "options": "defaults"},
	}}))
	if c.name == "grub" {
		stages = append(stages, stage("org.osbuild.grub2", object{"root_fs_uuid": rootID, "kernel_opts": "console=ttyS0"}))
	}
	return object{"stages": stages, "assembler": stage("org.osbuild.qemu", object{
		"filename": "disk.raw", "format": "raw", "pttype": "gpt", "ptuuid": gptID, "size": int64(4 << 30), "bootloader": c.bootloader,
		"partitions": []object{
			partition(2048, typeBIOSBoot, nil), partition(1<<20, "", filesystem("vfat", espID, "/boot/efi")), partition(0, "", filesystem("ext4", rootID, "/")),
		},
	})}
}

// enterDisk runs a script inside of the system on a disk as on the machine: its
// file systems are mounted as fstab says, and the device of the root file system
// has its name. The script arrives on the standard input; $1 is the disk, $2 the
// offset of the EFI system partition, and $3 and $4 are the offset and the size of
// the root. update-grub looks for the file behind /dev/loop0 to /dev/loop9, so it is
// another one; detached while it is in use, it goes with the mount. Not every kernel that runs tests can mount a vfat: its files are
// copied, and copied back.
const enterDisk = `
dir=$(mktemp -d)
trap 'umount -R "$dir" && rmdir "$dir"' EXIT
export MTOOLS_SKIP_CHECK=1
n=10
until losetup -o "$3" --sizelimit "$4" "/dev/loop$n" "$1"; do
  n=$((n + 1))
  [ $n -lt 100 ]
done
mount "/dev/loop$n" "$dir" || { losetup -d "/dev/loop$n"; exit 1; }
losetup -d "/dev/loop$n"
mount -t tmpfs tmpfs "$dir/boot/efi"
if mdir -b -i "$1@@$2" :: | grep -q .; then mcopy -s -i "$1@@$2" '::*' "$dir/boot/efi/"; fi
mount -t proc proc "$dir/proc"
mount -t sysfs sysfs "$dir/sys"
mount -t tmpfs tmpfs "$dir/dev"
mount -t tmpfs tmpfs "$dir/run"
mount -t tmpfs tmpfs "$dir/tmp"
dev=$(findmnt -n -o SOURCE "$dir")
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$dev" "$dir/dev/"
ln -s /proc/self/fd "$dir/dev/fd"
mkdir -p "$dir/dev/disk/by-uuid"
ln -s "../../${dev#/dev/}" "$dir/dev/disk/by-uuid/` + rootID + `"
# Where the tests run in a container, the system must not notice.
mount --bind "$dir/usr/bin/false" "$dir/usr/bin/systemd-detect-virt"
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive SYSTEMD_RELAX_ESP_CHECKS=1 SYSTEMD_IGNORE_CHROOT=1 \
  chroot "$dir" /bin/sh -eu
mdir -b -i "$1@@$2" :: | while read -r name; do mdeltree -i "$1@@$2" "$name"; done
mcopy -s -i "$1@@$2" "$dir"/boot/efi/* ::
`

// onDisk runs a script inside of the system on a disk and returns what it prints.
func onDisk(t *testing.T, disk, script string) string {
	t.Helper()
	var table struct {
		PartitionTable struct {
			Partitions []struct{ Start, Size int64 }
		}
	}
	if err := json.Unmarshal([]byte(output(t, "sfdisk", "--json", disk)), &table); err != nil {
		t.Fatal(err)
	}
	if len(table.PartitionTable.Partitions) != 3 {
		t.Fatalf("the disk has %d partitions", len(table.PartitionTable.Partitions))
	}
	esp, root := table.PartitionTable.Partitions[1], table.PartitionTable.Partitions[2]
	args := []string{"--mount", "--propagation", "private", "sh", "-eu", "-c", enterDisk, "sh", disk}
	for _, sectors := range []int64{esp.Start, root.Start, root.Size} {
		args = append(args, strconv.FormatInt(sectors*512, 10))
	}
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	cmd.Stdin = strings.NewReader(script)
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("inside of the system: %v\n%s\n%s\n%s", err, script, out, log.String())
	}
	return string(out)
}

// madeKernel is the version of a kernel that no distribution has.
const madeKernel = "99.1-made-amd64"

// installMade makes a package of a kernel from the one that is there, with the
// same scripts, and has apt install it.
const installMade = `
old=$(ls /usr/lib/modules)
p=/tmp/package
mkdir -p $p/DEBIAN $p/boot $p/usr/lib/modules
cp /boot/vmlinuz-$old $p/boot/vmlinuz-` + madeKernel + `
cp /boot/config-$old $p/boot/config-` + madeKernel + `
cp -a /usr/lib/modules/$old $p/usr/lib/modules/` + madeKernel + `
for s in preinst postinst prerm postrm; do
  sed "s/$old/` + madeKernel + `/g" /var/lib/dpkg/info/linux-image-$old.$s >$p/DEBIAN/$s
  chmod 755 $p/DEBIAN/$s
done
printf 'Package: linux-image-%s\nVersion: 99\nArchitecture: amd64\nMaintainer: Test <test@example.org>\nDescription: A kernel\n' ` + madeKernel + ` >$p/DEBIAN/control
dpkg-deb -Znone --root-owner-group --build $p /tmp/kernel.deb >&2
rm -r $p
apt-get -q -y install /tmp/kernel.deb >&2
echo $old
`

// TestLaterKernel has the tools of a built system install another kernel, and
// asks the programs that read the menu which one is booted. Then the first one
// goes, with its entry. Unified images only with OSBUILDKIT_BOOTS=all.
func TestLaterKernel(t *testing.T) {
	need(t, "unshare", "sfdisk", "mcopy", "grub-fstest", "grub-script-check")
	for _, c := range kernelCases() {
		if c.name == "images" && os.Getenv("OSBUILDKIT_BOOTS") != "all" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			build(t, "-o", dir, manifestFile(t, "disk.json", c.manifest()))
			disk := filepath.Join(dir, "disk.raw")
			old := strings.TrimSpace(onDisk(t, disk, installMade))
			if old == "" || strings.Contains(old, "\n") {
				t.Fatalf("the system had the kernels %q", old)
			}
			c.wantKernels(t, disk, madeKernel, old)
			onDisk(t, disk, "apt-get -q -y purge linux-image-"+old+" 'linux-image-cloud-*' >&2")
			c.wantKernels(t, disk, madeKernel)
		})
	}
}

// wantKernels checks which kernels the menu has; the first is booted.
func (c *kernelCase) wantKernels(t *testing.T, disk string, versions ...string) {
	t.Helper()
	if c.name == "grub" {
		wantGrub(t, disk, versions)
		return
	}
	text := onDisk(t, disk, "bootctl list --json=short --no-pager; ls -R /boot/efi >&2")
	var entries []struct {
		Type, ID  string
		IsDefault bool
		Options   string
	}
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var found []string
	for _, e := range entries {
		if e.Type == "auto" || !strings.HasPrefix(e.ID, "debian-") {
			continue
		}
		version := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(e.ID, "debian-"), ".conf"), ".efi")
		if e.IsDefault {
			found = slices.Insert(found, 0, version)
		} else {
			found = append(found, version)
		}
		if !strings.Contains(e.Options, "root=UUID="+rootID+" ro console=ttyS0") {
			t.Errorf("%s has the options %q", e.ID, e.Options)
		}
	}
	if !slices.Equal(found, versions) {
		t.Errorf("the menu has the kernels %q, want %q: %s", found, versions, text)
	}
}

var menuEntry = regexp.MustCompile(`(?m)^\s*linux\s+(/boot/vmlinuz-(\S+)) (.*)$`)

// wantGrub checks the configuration as GRUB reads it from the disk.
func wantGrub(t *testing.T, disk string, versions []string) {
	t.Helper()
	cfg := output(t, "grub-fstest", disk, "cat", "(loop0,gpt3)/boot/grub/grub.cfg")
	output(t, "grub-script-check", textFile(t, "grub.cfg", cfg))
	var found []string
	for _, m := range menuEntry.FindAllStringSubmatch(cfg, -1) {
		if !slices.Contains(found, m[2]) {
			found = append(found, m[2])
		}
		if !strings.HasPrefix(m[3], "root=UUID="+rootID+" ro") || !strings.Contains(m[3], "console=ttyS0") {
			t.Errorf("%s is started with %q", m[1], m[3])
		}
		output(t, "grub-fstest", disk, "crc", "(loop0,gpt3)"+m[1])
	}
	if !slices.Equal(found, versions) {
		t.Errorf("the menu has the kernels %q, want %q:\n%s", found, versions, cfg)
	}
	if !strings.Contains(cfg, "menuentry 'Debian GNU/Linux'") {
		t.Errorf("the menu does not name the distribution:\n%s", cfg)
	}
}

var bootedVersion = regexp.MustCompile(`Linux version (\S+)`)

// TestLaterKernelBoots boots a machine, has its tools install another kernel of
// the distribution, and boots it again: with OSBUILDKIT_BOOTS=all in the
// environment only, as it takes minutes.
func TestLaterKernelBoots(t *testing.T) {
	need(t, "qemu-system-x86_64", "unshare", "sfdisk", "mcopy")
	if os.Getenv("OSBUILDKIT_BOOTS") != "all" {
		t.Skip("OSBUILDKIT_BOOTS is not all")
	}
	for _, c := range kernelCases() {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			build(t, "-o", dir, manifestFile(t, "disk.json", c.manifest()))
			disk := filepath.Join(dir, "disk.raw")
			first := c.boot(t, disk, c.firmware[0])
			onDisk(t, disk, `
echo 'deb `+shared.mirror.URL()+` `+suite+` main' >/tmp/sources.list
set -- -q -y -o Dir::Etc::sourcelist=/tmp/sources.list -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root
apt-get "$@" update >&2
apt-get "$@" --no-install-recommends install linux-image-rt-amd64 >&2
apt-get clean
`)
			for _, firmware := range c.firmware {
				second := c.boot(t, disk, firmware)
				t.Logf("%s: %s, then %s", firmware, first, second)
				if second == first || !strings.Contains(second, "-rt-") {
					t.Errorf("%s: the kernel %s was booted, and after the installation of another one %s", firmware, first, second)
				}
			}
		})
	}
}

// boot boots a disk until a user can log in and returns the version of its
// kernel.
func (c *kernelCase) boot(t *testing.T, disk, firmware string) string {
	t.Helper()
	console := bootImage(t, disk, "--firmware", firmware, "--wait-for", "disktest login:")
	m := bootedVersion.FindStringSubmatch(console)
	if m == nil {
		t.Fatalf("the console does not name the kernel:\n%s", console)
	}
	return m[1]
}

//go:build e2e

package test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Types of partitions of a GPT.
const (
	typeESP      = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	typeBIOSBoot = "21686148-6449-6E6F-744E-656564454649"
)

// Identifiers of the file systems beside the root, and of disks with a GPT.
const (
	bootFSID = "e2b1a3a5-2a65-4f0c-9c2b-9f0c8b0f7a11"
	homeFSID = "1f0f4c5d-7a0c-4a73-9a53-5b0f3f3f8b12"
	espID    = "7B77-95E7"
	gptID    = "d209c89e-ea5e-4fbd-b161-b461cce297e0"
)

// bootSize is the size of the disks in bytes.
const bootSize = 1280 << 20

// bootCase is a disk that boots: one combination of format, partition table,
// boot loader and file system.
type bootCase struct {
	// format says what it is stored as, with the options of the format.
	format object
	pttype string
	// loader is the boot loader: bios, uefi, hybrid and signed are GRUB's, and
	// uki and systemd-boot start a unified kernel image.
	loader string
	// root is the file system of the root.
	root string
	// split says that /boot and /home are file systems of their own.
	split bool
	// firmware is what it boots with.
	firmware string
	// usual says that it is booted always, and not only if all are.
	usual bool
}

// bootCases is the matrix. TestDemo boots one more: qcow2, a DOS partition table
// in osbuild's short form, GRUB for BIOS and ext4.
func bootCases() []bootCase {
	raw, vdi, vhdx := object{"format": "raw"}, object{"format": "vdi"}, object{"format": "vhdx"}
	xz, zst := object{"format": "raw.xz"}, object{"format": "raw.zst"}
	qcow2 := object{"format": "qcow2"}
	old := object{"format": "qcow2", "qcow2_compat": "0.10"}
	vmdk, stream := object{"format": "vmdk"}, object{"format": "vmdk", "vmdk_subformat": "streamOptimized"}
	fixed, dynamic := object{"format": "vpc"}, object{"format": "vpc", "vpc_subformat": "dynamic"}
	return []bootCase{
		{qcow2, "gpt", "hybrid", "xfs", true, "bios", true},
		{vmdk, "gpt", "uefi", "btrfs", false, "uefi", true},
		{vhdx, "dos", "uki", "ext4", false, "uefi", true},
		{zst, "gpt", "systemd-boot", "ext4", false, "uefi", true},
		{raw, "gpt", "hybrid", "ext4", false, "bios", false},
		{raw, "gpt", "hybrid", "ext4", false, "uefi", false},
		{old, "gpt", "bios", "btrfs", false, "bios", false},
		{stream, "gpt", "signed", "ext4", false, "uefi", false},
		{qcow2, "gpt", "signed", "xfs", true, "uefi", false},
		{vdi, "dos", "bios", "xfs", true, "bios", false},
		{fixed, "gpt", "uki", "xfs", false, "uefi", false},
		{dynamic, "dos", "bios", "ext4", false, "bios", false},
		{vhdx, "dos", "uefi", "ext4", false, "uefi", false},
		{xz, "dos", "bios", "btrfs", false, "bios", false},
		{old, "gpt", "systemd-boot", "btrfs", false, "uefi", false},
		{vdi, "gpt", "uki", "ext4", true, "uefi", false},
	}
}

func (c *bootCase) name() string {
	words := []string{c.format["format"].(string)}
	for _, key := range slices.Sorted(maps.Keys(c.format)) {
		if key != "format" {
			words = append(words, c.format[key].(string))
		}
	}
	words = append(words, c.pttype, c.loader, c.root)
	if c.split {
		words = append(words, "split")
	}
	return strings.Join(append(words, c.firmware), "-")
}

// unified says that the kernel is part of what the firmware starts.
func (c *bootCase) unified() bool { return c.loader == "uki" || c.loader == "systemd-boot" }

// bootloader is the option of the assembler.
func (c *bootCase) bootloader() object {
	switch c.loader {
	case "bios":
		return object{"type": "grub2", "platform": "i386-pc"}
	case "uefi", "signed":
		return object{"type": "grub2", "platform": "x86_64-efi"}
	case "hybrid":
		return object{"type": "grub2", "platform": []string{"i386-pc", "x86_64-efi"}}
	}
	return object{"type": c.loader, "kernel_opts": "console=ttyS0"}
}

// loaders are what is found on the disk, as "image info" names it.
func (c *bootCase) loaders() []string {
	return map[string][]string{
		"bios": {"bios GRUB"}, "uefi": {"uefi GRUB"}, "hybrid": {"bios GRUB", "uefi GRUB"}, "signed": {"uefi GRUB", "uefi shim"},
		"uki": {"uefi unified kernel image"}, "systemd-boot": {"uefi systemd-boot", "uefi systemd-boot", "uefi unified kernel image"},
	}[c.loader]
}

// partition returns a partition; without a size it takes what is left.
func partition(sectors int, kind string, fs object) object {
	p := object{}
	if sectors > 0 {
		p["size"] = sectors
	}
	if kind != "" {
		p["type"] = kind
	}
	if fs != nil {
		p["filesystem"] = fs
	}
	return p
}

// filesystem returns a file system; without a UUID it gets one.
func filesystem(kind, uuid, mountpoint string) object {
	fs := object{"type": kind, "mountpoint": mountpoint}
	if uuid != "" {
		fs["uuid"] = uuid
	}
	return fs
}

// partitions lays the disk out, with no more than the combination needs.
func (c *bootCase) partitions() []object {
	var out []object
	gpt := c.pttype == "gpt"
	if gpt && (c.loader == "bios" || c.loader == "hybrid") {
		out = append(out, partition(2048, typeBIOSBoot, nil))
	}
	if c.loader != "bios" {
		kind, size := "", 1<<15
		if !gpt {
			kind = "ef"
		}
		if c.unified() {
			size = 1 << 18
		}
		out = append(out, partition(size, kind, filesystem("vfat", espID, "/boot/efi")))
	}
	if c.split {
		boot := c.root
		if gpt {
			boot = "ext4"
		}
		out = append(out, partition(1<<18, "", filesystem(boot, bootFSID, "/boot")), partition(1<<18, "", filesystem(c.root, homeFSID, "/home")))
	}
	return append(out, partition(0, "", filesystem(c.root, rootID, "/")))
}

// fstab mounts what is split off.
func (c *bootCase) fstab() object {
	var list []object
	mount := func(uuid, kind, path string) {
		list = append(list, object{"uuid": uuid, "vfs_type": kind, "path": path, "options": "defaults"})
	}
	for _, p := range c.partitions() {
		if fs, ok := p["filesystem"].(object); ok && fs["mountpoint"] != "/" {
			mount(fs["uuid"].(string), fs["type"].(string), fs["mountpoint"].(string))
		}
	}
	return object{"filesystems": list}
}

// stages are those of a small system. What all combinations have in common comes
// first, so that it is built once.
func (c *bootCase) stages() []any {
	list := []any{
		bootstrap(),
		stage("org.osbuildkit.apt", object{"packages": []string{"initramfs-tools", "linux-image-cloud-amd64", "systemd-sysv", "udev"}}),
		stage("org.osbuild.hostname", object{"hostname": "disktest"}),
		labelled(),
	}
	if c.loader == "signed" {
		list = append(list, stage("org.osbuildkit.apt", object{"packages": []string{"grub-efi-amd64-signed", "shim-signed"}}))
	}
	if c.split {
		list = append(list, stage("org.osbuild.fstab", c.fstab()))
	}
	if c.unified() {
		return list
	}
	grub := object{"root_fs_uuid": rootID, "kernel_opts": "ro console=ttyS0"}
	if c.split {
		grub["boot_fs_uuid"] = bootFSID
	}
	return append(list, stage("org.osbuild.grub2", grub))
}

// manifest is the disk's.
func (c *bootCase) manifest() object {
	o := object{
		"filename": "disk.img", "pttype": c.pttype, "size": bootSize, "partitions": c.partitions(),
		"bootloader": c.bootloader(), "ptuuid": diskID,
	}
	if c.pttype == "gpt" {
		o["ptuuid"] = gptID
	}
	maps.Copy(o, c.format)
	return object{"stages": c.stages(), "assembler": stage("org.osbuild.qemu", o)}
}

// TestBoots builds disks, lets the tools of each file system look at them and
// boots each until a user can log in: some of the matrix, and with
// OSBUILDKIT_BOOTS=all in the environment all of it.
func TestBoots(t *testing.T) {
	need(t, "qemu-system-x86_64", "qemu-img", "e2fsck", "xfs_repair", "btrfs", "fsck.vfat", "sfdisk")
	all := os.Getenv("OSBUILDKIT_BOOTS") == "all"
	for _, c := range bootCases() {
		if !all && !c.usual {
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			dir := t.TempDir()
			p := build(t, "-o", dir, manifestFile(t, "disk.json", c.manifest()))
			image := filepath.Join(dir, "disk.img")
			c.inspect(t, image)
			begin := time.Now()
			c.boot(t, image)
			t.Logf("built in %.1f s, login after %.1f s", p.took.Seconds(), time.Since(begin).Seconds())
		})
	}
}

// inspect looks at an image from outside.
func (c *bootCase) inspect(t *testing.T, image string) {
	t.Helper()
	var info struct {
		Loaders []struct{ Firmware, Name, Architecture string } `json:"boot_loaders"`
	}
	if err := json.Unmarshal([]byte(output(t, shared.program, "image", "info", "--json", image)), &info); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, l := range info.Loaders {
		found = append(found, l.Firmware+" "+l.Name)
	}
	slices.Sort(found)
	if !slices.Equal(found, c.loaders()) {
		t.Errorf("the boot loaders are %q, want %q", found, c.loaders())
	}
	switch format := c.format["format"].(string); format {
	case "raw":
		checkDisk(t, image)
	case "raw.xz", "raw.zst":
		// The same disk as raw, which another combination looks at.
	default:
		raw := filepath.Join(t.TempDir(), "disk.raw")
		output(t, "qemu-img", "convert", "-f", format, "-O", "raw", image, raw)
		checkDisk(t, raw)
	}
}

// boot starts a machine and waits until a user can log in. The console tells
// whether it was the firmware, the file system and the command line that were
// meant.
func (c *bootCase) boot(t *testing.T, image string) {
	t.Helper()
	console := bootImage(t, image, "--firmware", c.firmware, "--wait-for", "disktest login:")
	for _, want := range []string{
		"root=UUID=" + rootID + " ro console=ttyS0",
		map[string]string{"ext4": "EXT4-fs (vda", "xfs": "XFS (vda", "btrfs": "BTRFS info (device vda"}[c.root],
	} {
		if !strings.Contains(console, want) {
			t.Errorf("the console does not say %q", want)
		}
	}
	if efi := strings.Contains(console, "efi: EFI v"); efi != (c.firmware == "uefi") {
		t.Errorf("it has booted with UEFI: %v", efi)
	}
	if t.Failed() {
		t.Logf("%s", console)
	}
}

// bootTries is how often a machine is started in which something fails: under an
// emulator that is starved, programs crash now and then, at other places each
// time. An image that is at fault fails every time.
const bootTries = 2

// bootImage starts a machine with further arguments of "osbuildkit boot" and
// returns what the console said, which is nothing of failures.
func bootImage(t *testing.T, image string, args ...string) string {
	t.Helper()
	args = append([]string{"boot", "--accel", "tcg", "--timeout", "420s"}, append(args, image)...)
	for try := 1; ; try++ {
		out, err := exec.Command(shared.program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("boot: %v\n%s", err, out[max(0, len(out)-4000):])
		}
		var failures []string
		for line := range strings.Lines(string(out)) {
			if slices.ContainsFunc([]string{"Failed to mount", "Failed to start", "[FAILED]", "Kernel panic", "Call Trace", "Corruption", "EXT4-fs error"},
				func(bad string) bool { return strings.Contains(line, bad) }) {
				failures = append(failures, line)
			}
		}
		switch {
		case len(failures) == 0:
			return string(out)
		case try == bootTries:
			t.Fatalf("the console says %q", failures)
		}
		t.Logf("the console says %q: once more", failures)
	}
}

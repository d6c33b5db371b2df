//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Types of partitions of a GPT.
const (
	typeESP      = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	typeBIOSBoot = "21686148-6449-6E6F-744E-656564454649"
)

const bootFSID = "e2b1a3a5-2a65-4f0c-9c2b-9f0c8b0f7a11"

// diskLayout is a disk of the matrix: one combination of partition table, boot
// loader and file systems.
type diskLayout struct {
	name       string
	pttype     string
	partitions []object
	platforms  []string
	// separate says that /boot is a file system of its own.
	separate bool
	// boots are the kinds of firmware that it is booted with.
	boots []string
}

func part(size int, kind string, fs object) object {
	p := object{}
	if size > 0 {
		p["size"] = size
	}
	if kind != "" {
		p["type"] = kind
	}
	if fs != nil {
		p["filesystem"] = fs
	}
	return p
}

func fsOf(kind, uuid, mountpoint string) object {
	fs := object{"type": kind, "mountpoint": mountpoint}
	if uuid != "" {
		fs["uuid"] = uuid
	}
	return fs
}

// diskLayouts is the matrix. What is not booted is checked only.
func diskLayouts() []diskLayout {
	bios, esp := part(2048, typeBIOSBoot, nil), part(131072, typeESP, fsOf("vfat", "7B77-95E7", "/boot/efi"))
	root := func(kind string) object { return part(0, "", fsOf(kind, rootID, "/")) }
	both, legacy, efi := []string{"i386-pc", "x86_64-efi"}, []string{"i386-pc"}, []string{"x86_64-efi"}
	return []diskLayout{
		{name: "gpt-hybrid-ext4", pttype: "gpt", partitions: []object{bios, esp, root("ext4")}, platforms: both, boots: []string{"bios", "uefi"}},
		{name: "gpt-uefi-xfs", pttype: "gpt", partitions: []object{esp, root("xfs")}, platforms: efi, boots: []string{"uefi"}},
		{
			name: "gpt-split", pttype: "gpt", platforms: both, separate: true, boots: []string{"bios"},
			partitions: []object{
				bios, esp, part(1<<20, "", fsOf("ext4", bootFSID, "/boot")), part(1<<18, "", object{"type": "swap"}),
				part(1<<19, "", fsOf("xfs", "", "/home")), part(1<<18, "", fsOf("ext4", "", "/var/log")), root("ext4"),
			},
		},
		{name: "dos-bios-xfs", pttype: "dos", partitions: []object{root("xfs")}, platforms: legacy},
		{name: "gpt-bios-btrfs", pttype: "gpt", partitions: []object{bios, root("btrfs")}, platforms: legacy, boots: []string{"bios"}},
		{name: "dos-uefi-ext4", pttype: "dos", partitions: []object{part(131072, "ef", fsOf("vfat", "", "/boot/efi")), root("ext4")}, platforms: efi},
		{name: "dos-split-xfs", pttype: "mbr", partitions: []object{part(1<<20, "", fsOf("xfs", bootFSID, "/boot")), root("xfs")}, platforms: legacy, separate: true},
	}
}

const diskSize = 3 << 30

// diskTree is a small system that boots from any of the layouts.
func diskTree(separate bool) []any {
	grub := object{"root_fs_uuid": rootID, "kernel_opts": "ro console=ttyS0"}
	if separate {
		grub["boot_fs_uuid"] = bootFSID
	}
	return []any{
		bootstrap(),
		stage("org.osbuildkit.apt", object{"packages": []string{"initramfs-tools", "linux-image-cloud-amd64", "systemd-sysv", "udev"}}),
		stage("org.osbuild.hostname", object{"hostname": "disktest"}),
		labelled(),
		stage("org.osbuild.grub2", grub),
	}
}

func (l *diskLayout) manifest(format string) object {
	o := object{
		"format": format, "filename": "disk." + format, "pttype": l.pttype, "size": diskSize, "partitions": l.partitions,
		"bootloader": object{"type": "grub2", "platform": l.platforms}, "ptuuid": diskID,
	}
	if l.pttype == "gpt" {
		o["ptuuid"] = "d209c89e-ea5e-4fbd-b161-b461cce297e0"
	}
	return object{"stages": diskTree(l.separate), "assembler": stage("org.osbuild.qemu", o)}
}

// TestDisk builds each layout from one tree, lets the tools of each file system
// look at it, and boots some.
func TestDisk(t *testing.T) {
	need(t, "qemu-system-x86_64", "e2fsck", "xfs_repair", "btrfs", "fsck.vfat", "sfdisk")
	for _, l := range diskLayouts() {
		t.Run(l.name, func(t *testing.T) {
			dir := t.TempDir()
			p := build(t, "-o", dir, manifestFile(t, "disk.json", l.manifest("raw")))
			t.Logf("built in %.1f s", p.took.Seconds())
			image := filepath.Join(dir, "disk.raw")
			checkDisk(t, image)
			for _, firmware := range l.boots {
				begin := time.Now()
				bootDisk(t, image, firmware, "disktest login:")
				t.Logf("%s: login after %.0f s", firmware, time.Since(begin).Seconds())
			}
		})
	}
}

// checkers are the programs that look at a file system and change nothing.
var checkers = map[string][]string{
	"ext4": {"e2fsck", "-fn"}, "xfs": {"xfs_repair", "-n"}, "btrfs": {"btrfs", "check", "--readonly"}, "vfat": {"fsck.vfat", "-n"},
}

// checkDisk verifies the partition table and every file system of a raw disk.
func checkDisk(t *testing.T, image string) {
	t.Helper()
	if out := output(t, "sfdisk", "--verify", image); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk --verify: %s", out)
	}
	var table struct {
		PartitionTable struct {
			Partitions []struct{ Start, Size int64 }
		}
	}
	if err := json.Unmarshal([]byte(output(t, "sfdisk", "--json", image)), &table); err != nil {
		t.Fatal(err)
	}
	for i, q := range table.PartitionTable.Partitions {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("part%d", i+1))
		copyRange(t, image, name, q.Start*512, q.Size*512)
		kind := strings.TrimSpace(output(t, "sh", "-c", "blkid -p -o value -s TYPE "+name+" || true"))
		check, ok := checkers[kind]
		if !ok {
			continue
		}
		if out, err := exec.Command(check[0], append(check[1:], name)...).CombinedOutput(); err != nil {
			t.Errorf("partition %d: %s: %v: %s", i+1, strings.Join(check, " "), err, out)
		}
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// copyRange copies a part of a file.
func copyRange(t *testing.T, from, to string, offset, size int64) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Truncate(size); err != nil {
		t.Fatal(err)
	}
	buf, zero := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(buf)) {
		n, err := io.ReadFull(io.NewSectionReader(in, offset+at, size-at), buf[:min(int64(len(buf)), size-at)])
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) == string(zero[:n]) {
			continue
		}
		if _, err := out.WriteAt(buf[:n], at); err != nil {
			t.Fatal(err)
		}
	}
}

// bootDisk boots an image and waits for a text on its console.
func bootDisk(t *testing.T, image, firmware, text string) {
	t.Helper()
	out, err := exec.Command(shared.program, "boot", "--accel", "tcg", "--firmware", firmware, "--timeout", "420s", "--wait-for", text, image).CombinedOutput()
	if err != nil {
		t.Fatalf("boot with %s: %v\n%s", firmware, err, out[max(0, len(out)-4000):])
	}
	for _, bad := range []string{"Failed to mount", "[FAILED]", "Kernel panic", "XFS (vda): Corruption", "EXT4-fs error"} {
		if strings.Contains(string(out), bad) {
			t.Errorf("%s: the console says %q", firmware, bad)
		}
	}
}

// TestDiskSameBytes makes one layout in two stores.
func TestDiskSameBytes(t *testing.T) {
	need(t)
	l := diskLayouts()[2]
	var sums [2]string
	for i := range sums {
		dir := t.TempDir()
		args := []string{"-o", dir, manifestFile(t, "disk.json", l.manifest("qcow2"))}
		if i == 1 {
			args = append(args, "--store", t.TempDir())
		}
		build(t, args...)
		sums[i] = sha256File(t, filepath.Join(dir, "disk.qcow2"))
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds give %s and %s", sums[0], sums[1])
	}
}

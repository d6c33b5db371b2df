package assemblers

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/uki"
	"github.com/osbuildkit/osbuildkit/tree"
)

// unifiedOptions is a disk that starts a unified kernel image.
const unifiedOptions = `{"format":"raw","filename":"disk.raw","pttype":"gpt","ptuuid":"d209c89e-ea5e-4fbd-b161-b461cce297e0","size":268435456,
	"bootloader":{"type":"uki","kernel_opts":"console=ttyS0"},"partitions":[
	{"size":131072,"filesystem":{"type":"vfat","uuid":"7B77-95E7","mountpoint":"/boot/efi"}},
	{"filesystem":{"type":"btrfs","uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","mountpoint":"/"}}]}`

// efiFile is a program for UEFI with one section that holds a text.
func efiFile(machine uint16, text string) string {
	le := binary.LittleEndian
	b := make([]byte, 0x600)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x84:], machine)
	le.PutUint16(b[0x86:], 1)
	le.PutUint16(b[0x94:], 240)
	opt, entry := b[0x98:], b[0x98+240:]
	le.PutUint16(opt, 0x20b)
	le.PutUint32(opt[32:], 0x1000)
	le.PutUint32(opt[36:], 0x200)
	le.PutUint32(opt[56:], 0x2000)
	le.PutUint32(opt[60:], 0x400)
	le.PutUint16(opt[68:], 10)
	le.PutUint32(opt[108:], 16)
	copy(entry, ".text")
	for i, v := range []uint32{uint32(len(text)), 0x1000, 0x200, 0x400} {
		le.PutUint32(entry[8+4*i:], v)
	}
	copy(b[0x400:], text)
	return string(b)
}

// treeOf makes a tree of files with their content.
func treeOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// kernelTree is a tree with two kernels and what systemd brings, with changes;
// a text of "-" leaves a file out.
func kernelTree(t *testing.T, changes ...string) string {
	t.Helper()
	files := map[string]string{
		"etc/os-release": "ID=debian\nPRETTY_NAME=\"Debian\"\n", "boot/vmlinuz-6.9.1": efiFile(uki.AMD64, "old"), "boot/initrd.img-6.9.1": "old",
		"boot/vmlinuz-6.12.1": efiFile(uki.AMD64, "kernel"), "boot/initrd.img-6.12.1": "initrd", "boot/vmlinuz-6.99-rescue": efiFile(uki.AMD64, "rescue"),
		efiDir + "/linuxx64.efi.stub": efiFile(uki.AMD64, "stub"), efiDir + "/systemd-bootx64.efi": efiFile(uki.AMD64, "menu"),
		efiDir + "/linuxaa64.efi.stub": efiFile(uki.ARM64, "stub"),
	}
	for i := 0; i < len(changes); i += 2 {
		if files[changes[i]] = changes[i+1]; changes[i+1] == "-" {
			delete(files, changes[i])
		}
	}
	return treeOf(t, files)
}

// espFile reads a file of the EFI system partition.
func espFile(t *testing.T, out, name string) []byte {
	t.Helper()
	got, err := exec.Command("mtype", "-i", filepath.Join(out, "disk.raw")+"@@1M", "::/"+name).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return got
}

// peSections returns the sections of a program.
func peSections(t *testing.T, data []byte) map[string]string {
	t.Helper()
	f, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, s := range f.Sections {
		d, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		out[s.Name] = strings.TrimRight(string(d[:min(s.VirtualSize, s.Size)]), "\x00")
	}
	return out
}

// TestUnified makes disks with a unified kernel image, with and without
// systemd-boot, and looks for it on the EFI system partition.
func TestUnified(t *testing.T) {
	t.Parallel()
	need(t, "mtype")
	for _, tc := range []struct {
		name, options string
		changes       []string
		image         string
		want          map[string]string // section: what it holds
	}{
		{"uki", unifiedOptions, nil, "EFI/BOOT/BOOTX64.EFI", map[string]string{
			".text": "stub", ".osrel": "ID=debian\nPRETTY_NAME=\"Debian\"\n", ".uname": "6.12.1", ".initrd": "initrd",
			".cmdline": "root=UUID=76a22bf4-f153-4541-b6c7-0332c0dfaeac ro console=ttyS0", ".linux": strings.TrimRight(efiFile(uki.AMD64, "kernel"), "\x00"),
		}},
		{"own root", string(edit(t, unifiedOptions, "console=ttyS0", "root=LABEL=r rw")), nil, "EFI/BOOT/BOOTX64.EFI", map[string]string{".cmdline": "root=LABEL=r rw"}},
		{"systemd-boot", string(edit(t, unifiedOptions, `"uki"`, `"systemd-boot"`)), nil, "EFI/Linux/debian-6.12.1.efi", map[string]string{".uname": "6.12.1"}},
		{
			"on arm64", string(edit(t, unifiedOptions, `"uki"`, `"uki","platform":"arm64-efi"`)), []string{"boot/vmlinuz-6.12.1", efiFile(uki.ARM64, "arm")},
			"EFI/BOOT/BOOTAA64.EFI", map[string]string{".initrd": "initrd"},
		},
		{
			"by the kernel", unifiedOptions, []string{"boot/vmlinuz-6.12.1", efiFile(uki.ARM64, "arm")},
			"EFI/BOOT/BOOTAA64.EFI", map[string]string{".initrd": "initrd"},
		},
		{
			"kernel-install", unifiedOptions, []string{"boot/0123/7.0/linux", efiFile(uki.AMD64, "seven"), "boot/0123/7.0/initrd", "seven's"},
			"EFI/BOOT/BOOTX64.EFI", map[string]string{".uname": "7.0", ".initrd": "seven's"},
		},
		{
			"in modules", unifiedOptions, []string{"usr/lib/modules/7.1/vmlinuz", efiFile(uki.AMD64, "seven"), "usr/lib/modules/7.1/initramfs.img", "seven's", "etc/os-release", "-"},
			"EFI/BOOT/BOOTX64.EFI", map[string]string{".uname": "7.1", ".initrd": "seven's", ".osrel": ""},
		},
		{"a DOS partition table", string(edit(t, unifiedOptions, `"gpt","ptuuid":"d209c89e-ea5e-4fbd-b161-b461cce297e0"`, `"dos"`)), nil, "EFI/BOOT/BOOTX64.EFI", map[string]string{".uname": "6.12.1"}},
	} {
		dir := kernelTree(t, tc.changes...)
		if p := checkQemu(json.RawMessage(tc.options)); len(p) > 0 {
			t.Errorf("%s: %v", tc.name, p)
		}
		out, log, err := assemble(t.Context(), t, dir, json.RawMessage(tc.options), t.TempDir())
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		got := peSections(t, espFile(t, out, tc.image))
		for name, want := range tc.want {
			if got[name] != want {
				t.Errorf("%s: %s holds %.60q, want %.60q: %s", tc.name, name, got[name], want, log)
			}
		}
		if tc.name != "systemd-boot" {
			continue
		}
		for name, want := range map[string]string{
			"EFI/BOOT/BOOTX64.EFI": efiFile(uki.AMD64, "menu"), "EFI/systemd/systemd-bootx64.efi": efiFile(uki.AMD64, "menu"), "loader/loader.conf": "timeout 0\ndefault debian-*.conf\n",
		} {
			if got := string(espFile(t, out, name)); got != want {
				t.Errorf("%s holds %.60q", name, got)
			}
		}
		own, _, err := assemble(t.Context(), t, kernelTree(t, "boot/efi/loader/loader.conf", "timeout 9\n"), json.RawMessage(tc.options), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if got := string(espFile(t, own, "loader/loader.conf")); got != "timeout 9\n" {
			t.Errorf("the tree's configuration has become %q", got)
		}
	}
}

// TestUnifiedErrors checks what must be said before a disk is written.
func TestUnifiedErrors(t *testing.T) {
	t.Parallel()
	menu := string(edit(t, unifiedOptions, `"uki"`, `"systemd-boot"`))
	for name, tc := range map[string]struct {
		options string
		changes []string
		want    string
	}{
		"no kernel":        {unifiedOptions, []string{"boot/vmlinuz-6.9.1", "-", "boot/vmlinuz-6.12.1", "-", "boot/vmlinuz-6.99-rescue", "-"}, "the tree has no kernel: looked for boot/vmlinuz*, boot/vmlinux*, boot/bzImage*, boot/Image*, boot/*/*/linux, usr/lib/modules/*/vmlinuz"},
		"no initrd":        {unifiedOptions, []string{"boot/initrd.img-6.12.1", "-"}, "the kernel /boot/vmlinuz-6.12.1 has no initrd: looked for boot/initrd.img-6.12.1, boot/initramfs-6.12.1.img, boot/initrd-6.12.1, boot/initramfs-6.12.1"},
		"no stub":          {unifiedOptions, []string{efiDir + "/linuxx64.efi.stub", "-"}, "neither the tree nor the build root has /usr/lib/systemd/boot/efi/linuxx64.efi.stub: install the package systemd-boot-efi"},
		"no menu":          {menu, []string{efiDir + "/systemd-bootx64.efi", "-"}, "has /usr/lib/systemd/boot/efi/systemd-bootx64.efi: install the package systemd-boot-efi"},
		"no name":          {menu, []string{"etc/os-release", "NAME=x\n"}, "etc/os-release of the tree has no ID"},
		"no program":       {unifiedOptions, []string{"boot/vmlinuz-6.12.1", "\x1f\x8b\x08"}, "the kernel /boot/vmlinuz-6.12.1: it is compressed with gzip"},
		"other kernel":     {string(edit(t, unifiedOptions, `"uki"`, `"uki","platform":"x86_64-efi"`)), []string{"boot/vmlinuz-6.12.1", efiFile(uki.ARM64, "arm")}, "is for the machine 0xaa64, and not for x86_64-efi: leave out the platform"},
		"unknown machine":  {unifiedOptions, []string{"boot/vmlinuz-6.12.1", efiFile(0x5064, "riscv")}, "is for the machine 0x5064: only those for x86_64-efi and arm64-efi"},
		"other stub":       {unifiedOptions, []string{efiDir + "/linuxx64.efi.stub", efiFile(uki.ARM64, "arm")}, "the stub: it is for the machine 0xaa64, and 0x8664 is wanted"},
		"damaged stub":     {unifiedOptions, []string{efiDir + "/linuxx64.efi.stub", "x"}, "the stub: it is no program for UEFI"},
		"there already":    {unifiedOptions, []string{"boot/efi/EFI/Boot/bootx64.efi", "x"}, "the tree has its own /EFI/BOOT/BOOTX64.EFI on the EFI system partition: remove it"},
		"image there":      {menu, []string{"boot/efi/EFI/Linux/debian-6.12.1.efi", "x"}, `"/EFI/Linux/debian-6.12.1.efi" is there already`},
		"too large":        {unifiedOptions, []string{"boot/initrd.img-6.12.1", strings.Repeat("initrd", 12<<20)}, "set the option partitions/0/size, which is 131072, to "},
		"large os-release": {unifiedOptions, []string{"etc/os-release", strings.Repeat("x", maxOSRelease+1)}, "65537 bytes, more than 64 KiB"},
	} {
		out, _, err := assemble(t.Context(), t, kernelTree(t, tc.changes...), json.RawMessage(tc.options), t.TempDir())
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
		if left := names(t, out); left != "" {
			t.Errorf("%s: %s is left", name, left)
		}
	}
	for _, tc := range []struct {
		pairs         []string
		pointer, want string
	}{
		{[]string{`/boot/efi`, `/data`}, "/bootloader/type", "uki lies on an EFI system partition: add a partition of the type C12A7328"},
		{[]string{`"vfat","uuid":"7B77-95E7"`, `"ext4"`}, "/bootloader/type", "with a file system vfat"},
		{[]string{`"uki"`, `"uki","platform":["x86_64-efi","arm64-efi"]`}, "/bootloader/platform", "uki is made for one platform, x86_64-efi or arm64-efi"},
		{[]string{`"uki"`, `"systemd-boot","platform":"i386-pc"`}, "/bootloader/platform", "systemd-boot is made for one platform"},
		{[]string{`console=ttyS0`, `a\nb`}, "/bootloader/kernel_opts", "a line break"},
		{[]string{`console=ttyS0`, `a=\"b`}, "/bootloader/kernel_opts", "a double quote is not closed"},
		{[]string{`console=ttyS0`, strings.Repeat("x", 2000)}, "/bootloader/kernel_opts", "it has 2000 bytes"},
		{[]string{`"uki"`, `"grub2","platform":"x86_64-efi"`}, "/bootloader/kernel_opts", "give them to org.osbuild.grub2"},
	} {
		p := checkQemu(edit(t, unifiedOptions, tc.pairs...))
		if len(p) != 1 || p[0].Pointer != tc.pointer || !strings.Contains(p[0].Message, tc.want) {
			t.Errorf("%q: got %v, want %s %q", tc.pairs, p, tc.pointer, tc.want)
		}
	}
}

// TestNewestKernel finds kernels through links of the tree, and none outside.
func TestNewestKernel(t *testing.T) {
	t.Parallel()
	outside := treeOf(t, map[string]string{"vmlinuz-9": "x", "initrd.img-9": "x"})
	dir := treeOf(t, map[string]string{"usr/boot/vmlinuz-1": "x", "usr/boot/initramfs-1.img": "x", "usr/boot/vmlinuz-2/file": "x", "usr/boot/vmlinuz": "x"})
	for name, target := range map[string]string{"boot": "/usr/boot", "usr/boot/vmlinuz-9": filepath.Join(outside, "vmlinuz-9"), "usr/boot/vmlinuz.old": "vmlinuz-1"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := tree.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if k, err := newestKernel(r); err != nil || k != (bootKernel{"1", "boot/vmlinuz-1", "boot/initramfs-1.img"}) {
		t.Errorf("got %+v, %v", k, err)
	}
}

package assemblers

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/grub"
	"github.com/osbuildkit/osbuildkit/module"
)

// gptOptions is a disk for both kinds of firmware.
const gptOptions = `{"format":"raw","filename":"disk.raw","pttype":"gpt","ptuuid":"d209c89e-ea5e-4fbd-b161-b461cce297e0","size":536870912,
	"bootloader":{"type":"grub2","platform":["i386-pc","x86_64-efi"]},"partitions":[
	{"size":2048,"type":"21686148-6449-6E6F-744E-656564454649"},
	{"size":131072,"filesystem":{"type":"vfat","uuid":"7B77-95E7","label":"ESP","mountpoint":"/boot/efi"}},
	{"size":20480,"filesystem":{"type":"swap"}},
	{"size":300000,"name":"root","filesystem":{"type":"xfs","uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","mountpoint":"/"}},
	{"filesystem":{"type":"btrfs","label":"home","mountpoint":"/home"}}]}`

// edit returns options after the pairs of text were replaced.
func edit(t *testing.T, options string, pairs ...string) json.RawMessage {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(options, pairs[i]) {
			t.Fatalf("%q is not in the options", pairs[i])
		}
	}
	return json.RawMessage(strings.NewReplacer(pairs...).Replace(options))
}

func TestCheckPartitions(t *testing.T) {
	t.Parallel()
	if p := checkQemu(json.RawMessage(gptOptions)); len(p) > 0 {
		t.Fatalf("good options: %v", p)
	}
	for _, tc := range []struct {
		pairs         []string
		pointer, want string
	}{
		{[]string{`"size":2048,`, `"size":2048,"start":8192,`, `"size":131072,`, `"size":131072,"start":9000,`}, "/partitions", "partition 2 overlaps partition 1"},
		{[]string{`"size":2048,`, `"size":2048,"start":33,`}, "/partitions", "starts in sector 33"},
		{[]string{`"size":300000`, `"size":3000000`}, "/partitions/3/size", "make it smaller, or the disk larger"},
		{[]string{`"size":300000,`, ``}, "/partitions/4", "no space is left for the partition"},
		{[]string{`"size":300000`, `"size":100000`}, "/partitions/3/size", "the file system of / (partition 4) has 51200000 bytes, and xfs needs at least 134217728"},
		{[]string{`:"/home"`, `:"/"`}, "/partitions/4/filesystem/mountpoint", "/ is the mount point of partition 4 already"},
		{[]string{`:"/home"`, `:"/home/"`}, "/partitions/4/filesystem/mountpoint", "is not an absolute path"},
		{[]string{`:"/home"`, `:"/a/../b"`}, "/partitions/4/filesystem/mountpoint", "is not an absolute path"},
		{[]string{`,"mountpoint":"/home"`, ``}, "/partitions/4/filesystem/mountpoint", "has no mount point"},
		{[]string{`"mountpoint":"/"`, `"mountpoint":"/srv"`}, "/partitions", "no file system has the mount point /"},
		{[]string{`"type":"swap"`, `"type":"swap","mountpoint":"/swap"`}, "/partitions/2/filesystem/mountpoint", "swap is not mounted"},
		{[]string{`7B77-95E7`, `76a22bf4-f153-4541-b6c7-0332c0dfaeac`}, "/partitions/1/filesystem/uuid", "eight hexadecimal digits as 4-4"},
		{[]string{`76a22bf4-f153`, `76a22bf4-f15`}, "/partitions/3/filesystem/uuid", "is not a UUID"},
		{[]string{`"label":"ESP"`, `"label":"EFI:partition"`}, "/partitions/1/filesystem/label", "has the character ':'"},
		{[]string{`"type":"btrfs"`, `"type":"zfs"`}, "/partitions/4/filesystem/type", "use btrfs, erofs, ext4, swap, vfat, xfs"},
		{[]string{`21686148-6449`, `21686148-644`}, "/partitions/0/type", "is not a partition type of a GPT"},
		{[]string{`"name":"root"`, `"uuid":"x"`}, "/partitions/3/uuid", "is not a UUID"},
		{[]string{`"type":"grub2"`, `"type":"zipl"`}, "/bootloader/type", "needs a block device"},
		{[]string{`"x86_64-efi"`, `"sparc64-ieee1275"`}, "/bootloader/platform", `"sparc64-ieee1275" is not supported`},
		{[]string{`"x86_64-efi"`, `"powerpc-ieee1275"`}, "/bootloader/platform", "9E1A2D38-C612-4316-AA26-8B49521E5A8B"},
		{[]string{`"21686148-6449-6E6F-744E-656564454649"`, `"linux"`}, "/bootloader/platform", "needs a partition of the type 21686148"},
		{[]string{`/boot/efi`, `/data`}, "/bootloader/platform", "add a partition of the type C12A7328"},
		{[]string{`"size":536870912`, `"size":536870913`}, "/size", "the next is 536871424"},
		{[]string{`"format":"raw"`, `"format":"raw","root_fs_uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac"`}, "/root_fs_uuid", "leave out partitions"},
		{[]string{`"gpt"`, `"dos"`, `"ptuuid":"d209c89e-ea5e-4fbd-b161-b461cce297e0",`, ``}, "/partitions/0/type", "is not a partition type of a DOS partition table"},
	} {
		found := false
		problems := checkQemu(edit(t, gptOptions, tc.pairs...))
		for _, p := range problems {
			found = found || p.Pointer == tc.pointer && strings.Contains(p.Message, tc.want)
		}
		if !found {
			t.Errorf("%q: got %v, want %s %q", tc.pairs, problems, tc.pointer, tc.want)
		}
	}
	five := edit(t, `{"format":"raw","filename":"d","size":1073741824,"partitions":[P,P,P,P,{"filesystem":{"type":"ext4","mountpoint":"/"}}]}`, "P", `{"size":2048}`)
	if p := checkQemu(five); len(p) != 1 || !strings.Contains(p[0].Message, "5 partitions: a DOS partition table has room for 4") {
		t.Errorf("five partitions: %v", p)
	}
	if p := checkQemu(with(t, map[string]any{"pttype": "gpt", "ptuuid": nil})); len(p) != 1 || !strings.Contains(p[0].Message, "give partitions for a GPT") {
		t.Errorf("the short form with a GPT: %v", p)
	}
}

// TestDerived gives identifiers that the options do not give.
func TestDerived(t *testing.T) {
	t.Parallel()
	plan := func(options json.RawMessage) *qemuPlan {
		t.Helper()
		var o QemuOptions
		if err := json.Unmarshal(options, &o); err != nil {
			t.Fatal(err)
		}
		p, problems := planQemu(o)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return p
	}
	a, b := plan(json.RawMessage(gptOptions)), plan(json.RawMessage(gptOptions))
	seen := map[string]bool{a.id.String(): true}
	for i, q := range a.partitions {
		if q.id != b.partitions[i].id || seen[q.id.String()] || q.id[6]>>4 != 5 {
			t.Errorf("partition %d has the identifier %s", i+1, q.id)
		}
		seen[q.id.String()] = true
	}
	for i, f := range a.filesystems {
		if f.uuid != b.filesystems[i].uuid || seen[f.uuid.String()] {
			t.Errorf("the file system %s has the identifier %s", f.what, f.id())
		}
	}
	without := edit(t, gptOptions, `"ptuuid":"d209c89e-ea5e-4fbd-b161-b461cce297e0",`, ``)
	other := edit(t, string(without), `"name":"root"`, `"name":"toor"`)
	if plan(without).id != plan(without).id || plan(without).id == plan(other).id {
		t.Error("the identifier of the disk does not follow from the options")
	}
}

// splitTree is a tree for all the mount points.
func splitTree(t *testing.T) string {
	t.Helper()
	return smallTree(t, "boot/grub2/grub.cfg", "boot/vmlinuz-6.1", "home/user/file", "boot/efi/loader/loader.conf")
}

// TestPartitions makes a disk with all kinds of file systems that need no
// program and lets the tools of each look at it.
func TestPartitions(t *testing.T) {
	t.Parallel()
	need(t, "sfdisk", "xfs_repair", "fsck.vfat", "btrfs", "mdir")
	for _, platform := range []string{grub.BIOS, grub.UEFI} {
		o := grub.CoreOptions{BuildRoot: "/", Platform: platform, GPT: true, Filesystem: "xfs"}
		if err := o.Find(); err != nil {
			t.Skip(err)
		}
	}
	tree := splitTree(t)
	out, log, err := assemble(t.Context(), t, tree, json.RawMessage(gptOptions), "/")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"GRUB for BIOS", "GRUB for UEFI as /EFI/BOOT/BOOTX64.EFI", "reads /boot/grub2/grub.cfg", "the file system of /home (partition 5): btrfs"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in the log: %s", want, log)
		}
	}
	image := filepath.Join(out, "disk.raw")
	if msg, err := exec.Command("sfdisk", "--verify", image).CombinedOutput(); err != nil {
		t.Errorf("sfdisk: %s", msg)
	}
	part := func(start, sectors int64) string {
		t.Helper()
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "part")
		if err := os.WriteFile(name, data[start*512:(start+sectors)*512], 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	esp, root, home := part(4096, 131072), part(155648, 300000), part(456704, 1048576-33-456704)
	for _, cmd := range [][]string{
		{"fsck.vfat", "-n", esp}, {"xfs_repair", "-n", root}, {"btrfs", "check", "--readonly", home},
		{"mdir", "-i", esp, "::/EFI/BOOT/BOOTX64.EFI"}, {"mdir", "-i", esp, "::/loader/loader.conf"},
	} {
		if msg, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", cmd, err, msg)
		}
	}
	again, _, err := assemble(t.Context(), t, tree, json.RawMessage(gptOptions), "/")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
	b, _ := os.ReadFile(filepath.Join(again, "SHA256SUMS"))
	if string(a) != string(b) {
		t.Error("the same tree and options give other bytes")
	}
}

// TestSignedLoader takes the signed programs of the tree, and leaves one alone
// that lies on the EFI partition already.
func TestSignedLoader(t *testing.T) {
	t.Parallel()
	need(t, "mtype")
	o := grub.CoreOptions{BuildRoot: "/", Platform: grub.UEFI, GPT: true, Filesystem: "xfs"}
	if err := o.Find(); err != nil {
		t.Skip(err)
	}
	options := edit(t, gptOptions, `["i386-pc","x86_64-efi"]`, `"x86_64-efi"`)
	const boot = "boot/grub2/grub.cfg"
	shim, second := "usr/lib/shim/shimx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
	for _, tc := range []struct {
		name  string
		files []string
		want  map[string]string // file of the partition: what it begins with
		err   string
	}{
		{"signed", []string{boot, "boot/vmlinuz", shim, second, "etc/os-release"}, map[string]string{
			"EFI/BOOT/BOOTX64.EFI": shim, "EFI/BOOT/grubx64.efi": second, "EFI/debian/grub.cfg": "search.fs_uuid 76a22bf4-f153-4541-b6c7-0332c0dfaeac root\nset prefix=($root)/boot/grub2\nconfigfile",
		}, ""},
		{"signed, of a child", []string{boot, "boot/vmlinuz", shim, second, "etc/os-release"}, map[string]string{
			"EFI/BOOT/grubx64.efi": "x/EFI/ubuntu\x00", "EFI/ubuntu/grub.cfg": "search.fs_uuid 76a22bf4-f153-4541-b6c7-0332c0dfaeac root\nset prefix=($root)/boot/grub\n",
		}, ""},
		{"only a shim", []string{boot, "boot/vmlinuz", shim}, map[string]string{"EFI/BOOT/BOOTX64.EFI": "MZ"}, ""},
		{"there already", []string{boot, "boot/vmlinuz", shim, second, "boot/efi/efi/boot/bootx64.efi"}, map[string]string{"EFI/BOOT/BOOTX64.EFI": "boot/efi/efi"}, ""},
		{"no name", []string{boot, "boot/vmlinuz", shim, second}, nil, "etc/os-release has no ID"},
	} {
		tree := smallTree(t, tc.files...)
		if tc.name == "signed" {
			if err := os.WriteFile(filepath.Join(tree, "etc/os-release"), []byte("NAME=x\nID=\"debian\"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if tc.name == "signed, of a child" {
			for name, text := range map[string]string{"etc/os-release": "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", second: "x/EFI/ubuntu\x00", "boot/grub/grub.cfg": "x"} {
				if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755), os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
		}
		out, log, err := assemble(t.Context(), t, tree, options, "/")
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: error %v", tc.name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		for name, want := range tc.want {
			got, err := exec.Command("mtype", "-i", filepath.Join(out, "disk.raw")+"@@2M", "::/"+name).Output()
			if err != nil || !strings.HasPrefix(string(got), want) {
				t.Errorf("%s: %s is %.60q (%v): %s", tc.name, name, got, err, log)
			}
		}
	}
}

// TestPartitionErrors checks what must be said before a disk is written.
func TestPartitionErrors(t *testing.T) {
	t.Parallel()
	big := splitTree(t)
	if err := os.WriteFile(filepath.Join(big, "home/user/big"), []byte(strings.Repeat("data", 8<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	linked := smallTree(t, "usr/home/file")
	if err := os.Symlink("usr/home", filepath.Join(linked, "home")); err != nil {
		t.Fatal(err)
	}
	plain := edit(t, gptOptions, `"bootloader":{"type":"grub2","platform":["i386-pc","x86_64-efi"]},`, ``)
	small := edit(t, string(plain), `{"filesystem":{"type":"btrfs"`, `{"size":40960,"filesystem":{"type":"ext4"`)
	for _, tc := range []struct {
		name    string
		tree    string
		options json.RawMessage
		want    string
	}{
		{"too large", big, small, "the file system of /home (partition 5): the tree does not fit: it needs a file system of about 3"},
		{"a link at a mount point", linked, plain, "a file system is to be mounted on /home, and /home of the tree is no directory"},
		{"no configuration", smallTree(t, "boot/vmlinuz"), json.RawMessage(gptOptions), "neither boot/grub2/grub.cfg nor boot/grub/grub.cfg: add the stage org.osbuild.grub2"},
		{"no kernel", smallTree(t, "boot/grub/grub.cfg"), json.RawMessage(gptOptions), "no kernel: looked for boot/vmlinuz*"},
	} {
		out, _, err := assemble(t.Context(), t, tc.tree, tc.options, "/")
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		if left := names(t, out); left != "" {
			t.Errorf("%s: %s is left", tc.name, left)
		}
	}
	out, _, err := assemble(t.Context(), t, splitTree(t), json.RawMessage(gptOptions), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "the build root has no /usr/lib/grub/i386-pc/boot.img: add the package grub-pc-bin") {
		t.Errorf("an empty build root: %v, left: %s", err, names(t, out))
	}
}

func TestRawFS(t *testing.T) {
	t.Parallel()
	need(t, "e2fsck", "xfs_repair", "btrfs", "fsck.erofs")
	m := module.Find(Modules(), "org.osbuild.rawfs")
	for kind, check := range map[string][]string{"": {"e2fsck", "-fn"}, "xfs": {"xfs_repair", "-n"}, "btrfs": {"btrfs", "check", "--readonly"}, "erofs": {"fsck.erofs"}} {
		options := `{"filename":"root.img","root_fs_uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","size":209715200`
		if kind != "" {
			options += `,"fs_type":"` + kind + `"`
		}
		options += "}"
		if p := m.Check(json.RawMessage(options)); len(p) > 0 {
			t.Errorf("%s: %v", kind, p)
		}
		out := t.TempDir()
		if err := m.Run(t.Context(), &module.Input{Tree: smallTree(t), Options: json.RawMessage(options), OutputDir: out, BuildRoot: "/", Epoch: 1700000000}); err != nil {
			t.Fatal(err)
		}
		if got := names(t, out); got != "SHA256SUMS root.img" {
			t.Errorf("the output holds %s", got)
		}
		if msg, err := exec.Command(check[0], append(check[1:], filepath.Join(out, "root.img"))...).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", check[0], msg)
		}
	}
	for want, options := range map[string]string{
		"/size the size 209715201 is not a multiple":          `{"filename":"a","root_fs_uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","size":209715201}`,
		"/size a file system of 1048576 bytes is too small":   `{"filename":"a","root_fs_uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","size":1048576}`,
		"/root_fs_uuid \"76a22bf4\" is not a UUID":            `{"filename":"a","root_fs_uuid":"76a22bf4","size":209715200}`,
		"/filename \"a/b\" is not a plain file name":          `{"filename":"a/b","root_fs_uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","size":209715200}`,
		"/fs_type a file system of type \"zfs\" is not suppo": `{"filename":"a","fs_type":"zfs","root_fs_uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","size":209715200}`,
	} {
		p := m.Check(json.RawMessage(options))
		if len(p) != 1 || !strings.HasPrefix(p[0].Pointer+" "+p[0].Message, want) {
			t.Errorf("got %v, want %s", p, want)
		}
	}
}

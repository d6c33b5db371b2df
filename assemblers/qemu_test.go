package assemblers

import (
	"bytes"
	"context"
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

const goodOptions = `{"format":"qcow2","filename":"disk.qcow2","ptuuid":"0x14fc63d2","root_fs_uuid":"76a22bf4-f153-4541-b6c7-0332c0dfaeac","size":67108864}`

// with returns the good options with one of them changed; nil leaves it out.
func with(t *testing.T, changes map[string]any) json.RawMessage {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(goodOptions), &o); err != nil {
		t.Fatal(err)
	}
	for k, v := range changes {
		if o[k] = v; v == nil {
			delete(o, k)
		}
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCheckQemu(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		option  string
		value   any
		message string // empty: no problem
	}{
		{"format", "raw", ""},
		{"format", "qed", `the format "qed" is not supported: use raw, raw.xz, raw.zst, qcow2, vdi, vmdk, vpc, vhdx or gce`},
		{"qcow2_compat", "0.10", ""},
		{"qcow2_compat", "2", "use 0.10 or 1.1"},
		{"vmdk_subformat", "streamOptimized", ""}, // no effect on qcow2, as in osbuild
		{"vmdk_subformat", "flat", "twoGbMaxExtentFlat or streamOptimized"},
		{"vpc_subformat", "sparse", "use fixed or dynamic"},
		{"filename", "image", ""},
		{"filename", "bild-ä.img", ""},
		{"filename", "..a", ""},
		{"filename", nil, "the file name is empty"},
		{"filename", "a/b", "not a plain file name"},
		{"filename", "/etc/passwd", "not a plain file name"},
		{"filename", "../x", "not a plain file name"},
		{"filename", "..", "names a directory"},
		{"filename", ".", "names a directory"},
		{"filename", "a\nb", "control character"},
		{"filename", "a\x00b", "control character"},
		{"filename", `a\b`, "backslash"},
		{"filename", strings.Repeat("x", 256), "256 bytes"},
		{"filename", "SHA256SUMS", "list of checksums"},
		{"filename", ".osbuildkit-x", "scratch files"},
		{"ptuuid", "0xFFFFFFFF", ""},
		{"ptuuid", "14fc63d2", "is not a disk signature"},
		{"ptuuid", "0x14fc63d2a", "is not a disk signature"},
		{"ptuuid", nil, ""},
		{"pttype", "mbr", ""},
		{"pttype", "apm", "use dos, mbr or gpt"},
		{"root_fs_uuid", "random", "is not a UUID"},
		{"root_fs_uuid", nil, "is not a UUID"},
		{"size", 67108864 + 1, "is not a multiple of 512, the size of a sector: the next is 67109376"},
		{"size", 512, "is too small"},
		{"size", nil, "is too small"},
		{"size", -512, "is too small"},
		{"size", int64(4096) << 30, "DOS partition table"},
		{"size", 1.5, "is not a number of bytes"},
		{"root_fs_type", "ext4", ""},
		{"root_fs_type", "zfs", `"zfs" is not supported: use btrfs, erofs, ext4, swap, vfat, xfs`},
		{"compression", "none", ""},
		{"compression", "zlib", ""},
		{"compression", "lzma", "use none, zlib or zstd"},
	} {
		problems := checkQemu(with(t, map[string]any{tc.option: tc.value}))
		switch {
		case tc.message == "":
			if len(problems) != 0 {
				t.Errorf("%s=%v: %v", tc.option, tc.value, problems)
			}
		case len(problems) != 1 || problems[0].Pointer != "/"+tc.option || !strings.Contains(problems[0].Message, tc.message):
			t.Errorf("%s=%v: got %v, want %q", tc.option, tc.value, problems, tc.message)
		}
	}
	for _, tc := range []struct {
		changes          map[string]any
		pointer, message string
	}{
		{map[string]any{"qcow2_compat": "0.10", "compression": "zstd"}, "/compression", "zstd needs a qcow2_compat of 1.1"},
		{map[string]any{"format": "vmdk", "filename": `a"b`}, "/filename", "quotation mark"},
	} {
		if p := checkQemu(with(t, tc.changes)); len(p) != 1 || p[0].Pointer != tc.pointer || !strings.Contains(p[0].Message, tc.message) {
			t.Errorf("%v: %v", tc.changes, p)
		}
	}
	p := checkQemu(with(t, map[string]any{"root_fs_type": "xfs"}))
	if len(p) != 1 || p[0].Pointer != "/size" || !strings.Contains(p[0].Message, "has 66060288 bytes, and xfs needs at least 134217728") {
		t.Errorf("a small xfs: %v", p)
	}
	p = checkQemu(with(t, map[string]any{"format": "raw", "compression": "zstd"}))
	if len(p) != 0 {
		t.Errorf("compression of raw: %v", p)
	}
	if p := checkQemu(json.RawMessage(`{}`)); len(p) != 4 {
		t.Errorf("without options %d problems are reported, want all 4: %v", len(p), p)
	}
}

// smallTree makes a tree with as much as the assembler looks at.
func smallTree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(files, "etc/hostname") {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(strings.Repeat(name+"\n", 100)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// assemble runs org.osbuild.qemu and returns the output directory and the log.
func assemble(ctx context.Context, t testing.TB, tree string, options json.RawMessage, buildRoot string) (string, string, error) {
	t.Helper()
	out := t.TempDir()
	var log bytes.Buffer
	m := module.Find(Modules(), "org.osbuild.qemu")
	err := m.Run(ctx, &module.Input{Tree: tree, Options: options, OutputDir: out, BuildRoot: buildRoot, Epoch: 1700000000, Log: &log})
	return out, log.String(), err
}

// needGrub skips the test without GRUB for BIOS.
func needGrub(t *testing.T) {
	t.Helper()
	o := grub.CoreOptions{BuildRoot: "/", Platform: grub.BIOS, Filesystem: "ext4"}
	if err := o.Find(); err != nil {
		t.Skip(err)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip(p + " is not installed")
		}
	}
}

// compare checks that an image holds the disk in the file raw.
func compare(t *testing.T, raw, image, format string) {
	t.Helper()
	if msg, err := exec.Command("qemu-img", "compare", "-f", "raw", "-F", format, raw, image).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", format, err, msg)
	}
}

// checkRaw lets other programs look at the disk.
func checkRaw(t *testing.T, image string) {
	t.Helper()
	dump, err := exec.Command("sfdisk", "--dump", image).CombinedOutput()
	if err != nil {
		t.Fatalf("sfdisk: %s", dump)
	}
	text := strings.Join(strings.Fields(string(dump)), " ")
	for _, want := range []string{"label: dos", "label-id: 0x14fc63d2", "start= 2048, size= 129024, type=83, bootable"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(part, data[1<<20:], 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("e2fsck", "-fn", part).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %s", out)
	}
}

// TestQemuBootCode has all that a bootable disk needs.
func TestQemuBootCode(t *testing.T) {
	t.Parallel()
	needGrub(t)
	for _, dir := range []string{"boot/grub2", "boot/grub"} {
		tree := smallTree(t, dir+"/grub.cfg", "boot/vmlinuz-6.1")
		out, log, err := assemble(t.Context(), t, tree, with(t, map[string]any{"format": "raw"}), "/")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log, "reads /"+dir+"/grub.cfg") || strings.Contains(log, "no boot loader") {
			t.Errorf("log: %s", log)
		}
		disk, err := os.ReadFile(filepath.Join(out, "disk.qcow2"))
		if err != nil {
			t.Fatal(err)
		}
		boot, err := os.ReadFile("/usr/lib/grub/i386-pc/boot.img")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(disk[3:90], boot[3:90]) || disk[510] != 0x55 || disk[92] != 1 || bytes.Equal(disk[512:1024], make([]byte, 512)) {
			t.Error("the first two sectors are not boot code and a partition table")
		}
	}
}

// TestQemuErrors checks what must be said before any work starts.
func TestQemuErrors(t *testing.T) {
	t.Parallel()
	noGrub := t.TempDir()
	big := smallTree(t)
	if err := os.WriteFile(filepath.Join(big, "big"), bytes.Repeat([]byte("data"), 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		tree    string
		options map[string]any
		root    string
		want    []string
	}{
		{"no kernel", smallTree(t, "boot/grub2/grub.cfg"), nil, "/",
			[]string{"boot/grub2/grub.cfg but no kernel", "boot/vmlinuz*", "boot/*/*/linux"}},
		{"no boot loader", smallTree(t, "boot/grub2/grub.cfg", "boot/vmlinuz-1"), nil, noGrub,
			[]string{"/usr/lib/grub/i386-pc/boot.img", "package grub-pc-bin"}},
		{"missing tree", filepath.Join(noGrub, "missing"), nil, "/", []string{"the tree"}},
		{"too large", big, nil, "/", []string{"66060288 bytes (63 MiB)", "set the option size, which is 67108864, to"}},
		{"bad options", smallTree(t), map[string]any{"filename": "../x", "size": 513}, "/", []string{"/filename", "/size"}},
		{"unknown option", smallTree(t), map[string]any{"loader": map[string]any{}}, "/", []string{`unknown field "loader"`}},
	} {
		out, _, err := assemble(t.Context(), t, tc.tree, with(t, tc.options), tc.root)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", tc.name, err, want)
			}
		}
		if left := names(t, out); left != "" {
			t.Errorf("%s: %s is left in the output directory", tc.name, left)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, _, err := assemble(ctx, t, smallTree(t), with(t, nil), "/")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
	if left := names(t, out); left != "" {
		t.Errorf("cancelled: %s is left in the output directory", left)
	}
}

// TestFindBoot finds configuration and kernels through links of the tree, and
// does not leave it.
func TestFindBoot(t *testing.T) {
	t.Parallel()
	linked := smallTree(t, "usr/boot/grub/grub.cfg", "usr/boot/0123/6.1/linux")
	if err := os.Symlink("/usr/boot", filepath.Join(linked, "boot")); err != nil {
		t.Fatal(err)
	}
	outside := smallTree(t, "grub.cfg", "vmlinuz")
	escaped := smallTree(t)
	if err := os.MkdirAll(filepath.Join(escaped, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(escaped, "boot/grub2")); err != nil {
		t.Fatal(err)
	}
	both := []string{"boot/grub/grub.cfg", "boot/grub2/grub.cfg", "boot/vmlinuz"}
	for _, tc := range []struct{ tree, dir, log string }{
		{linked, "boot/grub", "write to boot/grub2: a kernel that the system installs later gets no entry"},
		{smallTree(t, both...), "boot/grub2", ""},
		{smallTree(t, append(both, "usr/sbin/grub-mkconfig")...), "boot/grub", ""},
		{smallTree(t, "boot/grub2/grub.cfg", "boot/vmlinuz", "usr/sbin/grub-mkconfig"), "boot/grub2", "write to boot/grub: a kernel"},
		{escaped, "", "disk of data"},
		{smallTree(t, "boot/vmlinuz-6.1"), "", "kernel boot/vmlinuz-6.1, so add the stage org.osbuild.grub2"},
	} {
		var log bytes.Buffer
		dir, err := findGrub(&module.Input{Tree: tc.tree, Log: &log}, false)
		if err != nil {
			t.Errorf("%s: %v", tc.tree, err)
			continue
		}
		if dir != tc.dir {
			t.Errorf("got %q, want %q", dir, tc.dir)
		}
		if !strings.Contains(log.String(), tc.log) || tc.log == "" && log.Len() > 0 {
			t.Errorf("log %s, want %q", log.String(), tc.log)
		}
	}
}

func TestNoop(t *testing.T) {
	t.Parallel()
	m := module.Find(Modules(), "org.osbuild.noop")
	out := t.TempDir()
	if err := m.Run(t.Context(), &module.Input{Tree: t.TempDir(), OutputDir: out, Options: json.RawMessage(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, out); got != "" {
		t.Errorf("the output holds %s", got)
	}
	if err := m.Run(t.Context(), &module.Input{Tree: t.TempDir(), OutputDir: out, Options: json.RawMessage(`{"a":1}`)}); err == nil {
		t.Error("an option was accepted")
	}
}

// TestModules checks the table itself.
func TestModules(t *testing.T) {
	t.Parallel()
	last := ""
	for _, m := range Modules() {
		if m.Name <= last || m.Kind != module.Assembler || m.Group != module.GroupAssemblers || m.Run == nil || m.Internal() != strings.HasPrefix(m.Name, "org.osbuildkit.") || m.Summary == "" {
			t.Errorf("entry %+v", m)
		}
		last = m.Name
	}
}

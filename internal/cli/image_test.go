package cli

import (
	"archive/tar"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/inspect"
)

// makeImage makes a disk with a FAT and an ext4 partition, the latter with the
// given files.
func makeImage(t *testing.T, files map[string]string) string {
	t.Helper()
	for _, p := range []string{"sfdisk", "mke2fs", "mkfs.vfat", "mcopy"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip(p + " is not installed")
		}
	}
	run := func(stdin, name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "E2FSPROGS_FAKE_TIME=1700000000", "MTOOLS_SKIP_CHECK=1")
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	dir := t.TempDir()
	image, esp, tree := filepath.Join(dir, "disk.img"), filepath.Join(dir, "esp"), filepath.Join(dir, "tree")
	files["etc/fstab"] = "# a comment\nUUID=76a22bf4-f153-4541-b6c7-0332c0dfaeac / ext4 defaults 0 1\nUUID=C0FF-EE01 /boot/efi vfat defaults 0 2\nLABEL=none /home ext4 defaults 0 2\n"
	files["boot/efi/hidden"] = "under the mount"
	for name, text := range files {
		full := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, full); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Times are not what this is about.
	run("", "find", tree, "-exec", "touch", "-h", "-d", "@1600000000", "{}", "+")
	run("", "truncate", "-s", "32M", image)
	run("label: gpt\nlabel-id: 6F0E0D3C-0000-4A4A-8B8B-000000000000\nstart=2048,size=8192,type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B,uuid=6F0E0D3C-0000-4A4A-8B8B-000000000001\n"+
		"start=10240,size=49152,uuid=6F0E0D3C-0000-4A4A-8B8B-000000000002,name=root\n", "sfdisk", "-q", image)
	run("", "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "root", "-U", "76a22bf4-f153-4541-b6c7-0332c0dfaeac",
		"-E", "offset=5242880,hash_seed=6f0e0d3c-0000-4a4a-8b8b-000000000000", "-d", tree, image, "24576k")
	run("", "truncate", "-s", "4M", esp)
	run("", "mkfs.vfat", "--invariant", "-n", "ESP", "-i", "C0FFEE01", esp)
	run("", "mmd", "-i", esp, "::/EFI", "::/EFI/BOOT")
	run("", "touch", "-d", "@1600000000", filepath.Join(tree, "etc/fstab"))
	run("", "mcopy", "-m", "-i", esp, filepath.Join(tree, "etc/fstab"), "::/EFI/BOOT/BOOTX64.EFI")
	run("", "dd", "if="+esp, "of="+image, "bs=1M", "seek=1", "conv=notrunc", "status=none")
	return image
}

func TestImageCommands(t *testing.T) {
	t.Parallel()
	image := makeImage(t, map[string]string{
		"usr/lib/os-release": "ID=x\nPRETTY_NAME=\"Test \x1b[2J System\"\n", "etc/os-release": "-> ../usr/lib/os-release", "bad\x1b[2Jname": "x",
	})
	run := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := execute(t, "", args...)
		if code != 0 {
			t.Fatalf("%v: %d, %s", args, code, stderr)
		}
		return stdout
	}
	if got := run("image", "cat", image, "/etc/os-release"); !strings.HasPrefix(got, "ID=x\n") {
		t.Errorf("%q", got)
	}
	for _, path := range []string{"/boot/efi/EFI/BOOT/BOOTX64.EFI", "/boot/efi/efi/boot/bootx64.efi"} {
		if got := run("image", "cat", image, path); !strings.Contains(got, "UUID=C0FF-EE01") {
			t.Errorf("%q", got)
		}
	}
	if got := run("image", "cat", "--partition", "2", image, "/boot/efi/hidden"); got != "under the mount" {
		t.Errorf("%q", got)
	}
	list := run("image", "ls", image)
	for _, want := range []string{"drwxr-xr-x", " etc\n", " lost+found\n", `bad\x1b[2Jname`, "2020-09-13 12:26:40"} {
		if !strings.Contains(list, want) {
			t.Errorf("%q is missing in\n%s", want, list)
		}
	}
	if strings.Contains(list, "\x1b") || strings.Contains(list, "fstab") {
		t.Errorf("%q", list)
	}
	if got := run("image", "ls", "-R", image, "/etc"); !strings.Contains(got, " /etc/os-release -> ../usr/lib/os-release\n") {
		t.Errorf("%s", got)
	}
	info := run("image", "info", image)
	for _, want := range []string{"Test [2J System", "gpt, 6f0e0d3c-0000-4a4a-8b8b-000000000000", "EFI system", "ext4", "/boot/efi", "C0FF-EE01", "0.0%"} {
		if !strings.Contains(info, want) {
			t.Errorf("%q is missing in\n%s", want, info)
		}
	}
	var report inspect.Report
	if err := json.Unmarshal([]byte(run("image", "info", "--json", image)), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Volumes) != 2 || report.Volumes[1].Filesystem.Mountpoint != "/" || *report.Volumes[1].Filesystem.Files < 10 || report.Size != 32<<20 {
		t.Errorf("%+v", report)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"image", "info", "image_test.go"}, 2, "image_test.go: no known format"},
		{[]string{"image", "ls", "/nonexistent"}, 2, "no such file"},
		{[]string{"image", "cat", image}, 2, "one FILE and one PATH"},
		{[]string{"image", "cat", image, "/etc"}, 2, "/etc: not a regular file"},
		{[]string{"image", "ls", image, "/nope"}, 2, "/nope: no such file or directory"},
		{[]string{"image", "ls", "--partition", "7", image}, 2, "there is no partition 7"},
	} {
		if code, _, stderr := execute(t, "", c.args...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d, %s", c.args, code, stderr)
		}
	}
}

func TestFirstDifference(t *testing.T) {
	t.Parallel()
	a := makeImage(t, map[string]string{"etc/motd": "hello"})
	b := makeImage(t, map[string]string{"etc/motd": "hellO"})
	change := func(at int64) string {
		t.Helper()
		data, err := os.ReadFile(a)
		if err != nil {
			t.Fatal(err)
		}
		data[at]++
		name := filepath.Join(t.TempDir(), "disk.img")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tc := range []struct{ a, b, want string }{
		{a, b, `partition 2, the file "/etc/motd": its content differs from byte 4 on`},
		{a, change(100), "outside of the partitions, boot code or partition table, from byte 100 of the disk on"},
		{a, change(5<<20 + 1024 + 0x178), "partition 2: no file differs, but what the file system says about itself, from byte 1400"},
		{a, change(5<<20 + 1024 + 0x78), "partition 2: type, UUID or label of the file system differ"},
	} {
		got, err := firstDifference(t.Context(), tc.a, tc.b)
		if err != nil || !strings.Contains(got, tc.want) {
			t.Errorf("%q, %v, want %q", got, err, tc.want)
		}
	}
	outputs := func(names ...string) []outputFile {
		var out []outputFile
		for _, n := range names {
			sum, err := hashFile(n)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, outputFile{Path: n, SHA256: sum})
		}
		return out
	}
	if got, err := compareOutputs(t.Context(), filepath.Dir(a), outputs(a), filepath.Dir(a), outputs(a)); err != nil || len(got) != 0 {
		t.Errorf("the same image twice: %v, %v", got, err)
	}
	if got, err := compareOutputs(t.Context(), filepath.Dir(a), outputs(a), filepath.Dir(b), outputs(b)); err != nil || len(got) != 1 || !strings.HasPrefix(got[0], "disk.img: partition 2, the file") {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := compareOutputs(t.Context(), filepath.Dir(a), outputs(a), filepath.Dir(b), nil); err != nil || len(got) != 1 || !strings.Contains(got[0], "did not make it") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCompareArchives(t *testing.T) {
	t.Parallel()
	archive := func(files ...string) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "tree.tar")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w := tar.NewWriter(f)
		for i := 0; i < len(files); i += 2 {
			if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(files[i+1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return name
	}
	a := archive("a", "text", "b", "more")
	for _, tc := range []struct{ b, want string }{
		{archive("a", "text", "b", "mere"), `the file "b": its content differs from byte 1 on`},
		{archive("a", "text"), `"b" is in the first only`},
		{archive("a", "text", "c", "more"), `the names differ: "b" and "c"`},
		{archive("a", "texts", "b", "more"), `the file "a": what the archive says about it differs`},
	} {
		if got, err := firstDifference(context.Background(), a, tc.b); err != nil || !strings.Contains(got, tc.want) {
			t.Errorf("%q, %v, want %q", got, err, tc.want)
		}
	}
}

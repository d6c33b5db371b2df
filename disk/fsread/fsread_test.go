package fsread_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/fsread/directory"
)

// program finds a tool or skips the test.
func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p
		}
	}
	t.Skip(name + " is not installed")
	return ""
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program(t, name), args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "TZ=UTC", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// tree makes a directory with all kinds of files.
func tree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"etc", "usr/lib", "many", "deep/a/b/c/d/e/f"} {
		must(t, os.MkdirAll(in(d), 0o755))
	}
	must(t, os.WriteFile(in("usr/lib/os-release"), []byte("ID=test\n"), 0o644))
	must(t, os.Symlink("../usr/lib/os-release", in("etc/os-release")))
	must(t, os.Symlink("/etc", in("link")))
	must(t, os.Symlink(strings.Repeat("long/", 60), in("long")))
	must(t, os.Symlink("loop", in("loop")))
	must(t, os.Link(in("usr/lib/os-release"), in("deep/a/hard")))
	must(t, os.WriteFile(in("setuid"), []byte("x"), 0o600))
	must(t, os.Chmod(in("setuid"), 0o755|os.ModeSetuid))
	must(t, os.WriteFile(in("empty"), nil, 0o400))
	must(t, os.WriteFile(in("large"), bytes.Repeat([]byte("0123456789abcdef"), 200<<10), 0o644))
	for i := range 400 {
		must(t, os.WriteFile(in(fmt.Sprintf("many/a-name-that-is-not-short-%04d", i)), nil, 0o644))
	}
	must(t, unix.Mkfifo(in("pipe"), 0o640))
	// Many extents, so that there is a tree of them; and holes over 4 GiB.
	for name, step := range map[string]int64{"pieces": 8 << 10, "holes": 3<<30 + 4096} {
		f, err := os.Create(in(name))
		must(t, err)
		count := map[string]int64{"pieces": 900, "holes": 2}[name]
		for i := range count {
			_, err := fmt.Fprintf(io.NewOffsetWriter(f, i*step), "piece %d", i)
			must(t, err)
		}
		must(t, f.Close())
	}
	if os.Getuid() == 0 {
		must(t, unix.Mknod(in("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		must(t, unix.Mknod(in("disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 70000))))
		must(t, os.Lchown(in("etc"), 1000, 100))
		must(t, os.Lchown(in("link"), 70000, 80000))
	}
	_ = unix.Lsetxattr(in("large"), "user.text", []byte("value"), 0)
	_ = unix.Lsetxattr(in("large"), "user.long", bytes.Repeat([]byte("v"), 600), 0)
	for _, name := range []string{"setuid", "many", "etc"} {
		must(t, os.Chtimes(in(name), time.Time{}, time.Unix(1600000000, 123456789)))
	}
	return dir
}

func open(t testing.TB, name string) fsread.FS {
	t.Helper()
	r, err := os.Open(name)
	must(t, err)
	t.Cleanup(func() { r.Close() })
	st, err := r.Stat()
	must(t, err)
	f, err := fsread.Open(nil, r, st.Size())
	must(t, err)
	return f
}

// TestExt reads what mke2fs makes of a directory, with other features each time.
func TestExt(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	for _, c := range []struct {
		kind string
		args []string
	}{
		{"ext4", []string{"-t", "ext4"}},
		{"ext4", []string{"-t", "ext4", "-b", "1024"}},
		{"ext4", []string{"-t", "ext4", "-O", "^64bit,^metadata_csum", "-I", "128"}},
		{"ext4", []string{"-t", "ext4", "-O", "metadata_csum_seed,large_dir", "-I", "1024"}},
		{"ext3", []string{"-t", "ext3", "-b", "4096"}},
		{"ext2", []string{"-t", "ext2", "-b", "1024"}},
	} {
		image := filepath.Join(t.TempDir(), "image")
		run(t, "mke2fs", append(c.args, "-q", "-F", "-L", "test", "-U", "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "-d", dir, image, "96M")...)
		f := open(t, image)
		small := strings.Contains(strings.Join(c.args, " "), "-I 128") || c.kind != "ext4"
		d, err := fsread.Diff(t.Context(), directory.Open(dir), f, fsread.DiffOptions{
			Ignore: []string{"/lost+found"},
			Adjust: func(path string, a, b *fsread.Node) {
				if path == "/" {
					// The root belongs to mke2fs.
					a.UID, a.GID, a.ModTime = b.UID, b.GID, b.ModTime
				}
				if small || b.ModTime.Nanosecond() == 0 {
					a.ModTime, b.ModTime = a.ModTime.Truncate(time.Second), b.ModTime.Truncate(time.Second)
				}
			},
		})
		if err != nil || d != nil {
			t.Errorf("%v: %v, %v", c.args, d, err)
		}
		data, err := os.Open(image)
		must(t, err)
		info, err := fsread.Probe(data, 96<<20)
		if err != nil || info.Type != c.kind || info.Label != "test" || info.UUID != "76a22bf4-f153-4541-b6c7-0332c0dfaeac" || info.Size != 96<<20 || info.Free <= 0 || info.Free >= 96<<20 {
			t.Errorf("%v: %+v, %v", c.args, info, err)
		}
		data.Close()
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "usr/lib"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	for _, name := range []string{"usr/lib/os-release", "setuid"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644))
	}
	for name, target := range map[string]string{"etc/os-release": "../usr/lib/os-release", "link": "/etc", "loop": "loop"} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	// The directory itself can be looked up in as well as what is made of it.
	f := directory.Open(dir)
	for _, c := range []struct {
		path   string
		follow bool
		want   string
		err    string
	}{
		{"/", true, "/", ""},
		{"", true, "/", ""},
		{"/etc/os-release", true, "/usr/lib/os-release", ""},
		{"etc//./os-release", false, "/etc/os-release", ""},
		{"link/os-release", true, "/usr/lib/os-release", ""},
		{"/../../etc/../usr/lib", true, "/usr/lib", ""},
		{"/link", true, "/etc", ""},
		{"/link", false, "/link", ""},
		{"/loop", true, "", "more than 40 symbolic links"},
		{"/etc/none", true, "", "/etc/none: no such file or directory"},
		{"/setuid/x", true, "", "no such file or directory"},
	} {
		_, got, err := fsread.Lookup(f, c.path, c.follow)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.path, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.path, got, err, c.want)
		}
	}
}

// fatImage makes a FAT file system with some files.
func fatImage(t testing.TB, size string, args ...string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, nil, 0o600))
	run(t, "truncate", "-s", size, image)
	run(t, "mkfs.vfat", append(args, "-n", "ESP", "-i", "C0FFEE01", image)...)
	run(t, "mmd", "-i", image, "::/EFI", "::/EFI/BOOT", "::/many")
	src := t.TempDir()
	long := filepath.Join(src, "A file with a long name, ünïcode and 'quotes'.txt")
	must(t, os.WriteFile(long, []byte("long"), 0o600))
	boot := filepath.Join(src, "BOOTX64.EFI")
	must(t, os.WriteFile(boot, bytes.Repeat([]byte("boot code "), 30000), 0o600))
	run(t, "mcopy", "-i", image, boot, "::/EFI/BOOT/")
	cmd := []string{"-i", image}
	for i := range 60 {
		name := filepath.Join(src, fmt.Sprintf("file-number-%d", i))
		must(t, os.WriteFile(name, []byte(name), 0o600))
		cmd = append(cmd, name)
	}
	run(t, "mcopy", append(cmd, "::/many/")...)
	run(t, "mcopy", "-i", image, long, "::/EFI/")
	return image
}

func TestFAT(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size string
		args []string
	}{
		{"2M", []string{"-F", "12"}}, {"32M", []string{"-F", "16"}}, {"64M", []string{"-F", "32", "-s", "1"}},
	} {
		image := fatImage(t, c.size, c.args...)
		f := open(t, image)
		number, name, err := fsread.Lookup(f, "/efi/boot/bootx64.efi", true)
		must(t, err)
		if name != "/efi/boot/bootx64.efi" {
			t.Errorf("%v: %s", c.args, name)
		}
		src, size, err := f.Open(number)
		must(t, err)
		data, err := io.ReadAll(io.NewSectionReader(src, 0, size))
		if err != nil || !bytes.Equal(data, bytes.Repeat([]byte("boot code "), 30000)) {
			t.Errorf("%v: %d bytes, %v", c.args, len(data), err)
		}
		var names []string
		must(t, fsread.Walk(nil, f, func(p *fsread.Place, n *fsread.Node) error {
			names = append(names, p.Path())
			if n.Type() == fsread.TypeRegular && time.Since(n.ModTime).Abs() > 48*time.Hour {
				t.Errorf("%s is of %v", name, n.ModTime)
			}
			return nil
		}))
		if len(names) != 66 || names[2] != "/EFI/A file with a long name, ünïcode and 'quotes'.txt" || names[4] != "/EFI/BOOT/BOOTX64.EFI" || names[6] != "/many/file-number-0" {
			t.Errorf("%v: %d files, %q", c.args, len(names), names[:7])
		}
		r, err := os.Open(image)
		must(t, err)
		info, err := fsread.Probe(r, 64<<20)
		if err != nil || info.Type != "vfat" || info.Label != "ESP" || info.UUID != "C0FF-EE01" {
			t.Errorf("%v: %+v, %v", c.args, info, err)
		}
		r.Close()
	}
}

// TestProbe recognises what other tools make.
func TestProbe(t *testing.T) {
	t.Parallel()
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 400<<20))
	for _, c := range []struct {
		want string
		tool []string
	}{
		{"swap", []string{"mkswap", "-q", "-L", "test", "-U", "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}},
		{"xfs", []string{"mkfs.xfs", "-q", "-f", "-L", "test", "-m", "uuid=76a22bf4-f153-4541-b6c7-0332c0dfaeac"}},
		{"btrfs", []string{"mkfs.btrfs", "-q", "-f", "-L", "test", "-U", "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}},
	} {
		t.Run(c.want, func(t *testing.T) {
			run(t, c.tool[0], append(c.tool[1:], image)...)
			r, err := os.Open(image)
			must(t, err)
			defer r.Close()
			i, err := fsread.Probe(r, 400<<20)
			if err != nil || i.Type != c.want || i.Label != "test" || i.UUID != "76a22bf4-f153-4541-b6c7-0332c0dfaeac" || i.Size < 390<<20 || i.Size > 400<<20 {
				t.Errorf("%+v, %v", i, err)
			}
			if _, err := fsread.Open(nil, r, 400<<20); !errors.Is(err, fsread.ErrUnsupported) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := fsread.Open(nil, bytes.NewReader(make([]byte, 1<<20)), 1<<20); !errors.Is(err, fsread.ErrUnsupported) {
		t.Errorf("zeros: error %v", err)
	}
	if _, err := fsread.Open(nil, bytes.NewReader(nil), 0); err == nil {
		t.Error("nothing is taken for a file system")
	}
}

// TestDiff finds every kind of difference.
func TestDiff(t *testing.T) {
	t.Parallel()
	make := func(change func(dir string)) fsread.FS {
		dir := t.TempDir()
		must(t, os.Chmod(dir, 0o755))
		must(t, os.MkdirAll(filepath.Join(dir, "b"), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "b/file"), []byte("content"), 0o644))
		must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("content"), 0o644))
		must(t, os.Symlink("x", filepath.Join(dir, "link")))
		change(dir)
		must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			tv := []unix.Timeval{{Sec: 1}, {Sec: 1}}
			return errors.Join(err, unix.Lutimes(path, tv))
		}))
		return directory.Open(dir)
	}
	same := func(string) {}
	for _, c := range []struct {
		change func(dir string)
		want   string
	}{
		{same, ""},
		{func(d string) { must(t, os.WriteFile(filepath.Join(d, "b/file"), []byte("conTent"), 0o644)) }, "/b/file: its content differs from byte 3 on"},
		{func(d string) { must(t, os.WriteFile(filepath.Join(d, "b/file"), []byte("c"), 0o644)) }, "/b/file: its size is 7 and 1"},
		{func(d string) { must(t, os.Chmod(filepath.Join(d, "b"), 0o700)) }, "/b: its mode is 0755 and 0700"},
		{func(d string) { must(t, os.Remove(filepath.Join(d, "b/file"))) }, "/b/file: it is in the first only"},
		{func(d string) { must(t, os.WriteFile(filepath.Join(d, "a"), nil, 0o644)) }, "/a: it is in the second only"},
		{func(d string) {
			must(t, os.Remove(filepath.Join(d, "other")))
			must(t, os.Link(filepath.Join(d, "b/file"), filepath.Join(d, "other")))
		}, "/b/file: its number of names is 1 and 2"},
		{func(d string) {
			must(t, os.Remove(filepath.Join(d, "link")))
			must(t, os.Symlink("y", filepath.Join(d, "link")))
		}, "/link: its target is x and y"},
		{func(d string) {
			must(t, os.Remove(filepath.Join(d, "link")))
			must(t, os.Mkdir(filepath.Join(d, "link"), 0o755))
		}, "/link: its type is symbolic link and directory"},
	} {
		d, err := fsread.Diff(t.Context(), make(same), make(c.change), fsread.DiffOptions{})
		got := ""
		if d != nil {
			got = d.String()
		}
		if err != nil || got != c.want {
			t.Errorf("%q, %v, want %q", got, err, c.want)
		}
	}
}

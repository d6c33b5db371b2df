package assemblers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/module"
)

func TestImageSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ImageSize{
		`512`:               {Bytes: 512},
		`"content"`:         {Follows: true},
		`"content+1KiB"`:    {Follows: true, Free: 1 << 10},
		`"content+20MiB"`:   {Follows: true, Free: 20 << 20},
		`"content+2GiB"`:    {Follows: true, Free: 2 << 30},
		`"content+64TiB"`:   {Follows: true, Free: 64 << 40},
		`"content+2047MiB"`: {Follows: true, Free: 2047 << 20},
	} {
		var got ImageSize
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		back, err := json.Marshal(got)
		if got.text = ""; got != want || err != nil || string(back) != text {
			t.Errorf("%s: %+v, want %+v; written as %s, %v", text, got, want, back, err)
		}
	}
	for _, text := range []string{
		`1.5`, `1e9`, `true`, `null`, `{}`, `[]`, `""`, `"1GiB"`, `"content+"`, `"content+2"`, `"content+2G"`, `"content+GiB"`, `"content+0GiB"`, `"content+01GiB"`,
		`"content+-1GiB"`, `"content + 1GiB"`, `"content+1.5GiB"`, `"content-1GiB"`, `"contents"`, `"content+65TiB"`, `"content+999999999999TiB"`, `"content+1gib"`, `"contentment+1GiB"`,
	} {
		var s ImageSize
		var size *sizeError
		if err := json.Unmarshal([]byte(text), &s); !errors.As(err, &size) && text != "null" {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
}

// FuzzImageSize wants what is taken to be written as it was read.
func FuzzImageSize(f *testing.F) {
	for _, s := range []string{"1", `"content"`, `"content+2GiB"`, `"content+999999999TiB"`, `"content+🙂MiB"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, again ImageSize
		if json.Unmarshal(data, &s) != nil {
			return
		}
		text, err := json.Marshal(s)
		if err != nil || json.Unmarshal(text, &again) != nil || s != again || s.Free < 0 {
			t.Errorf("%q: %+v, %s, %+v, %v", data, s, text, again, err)
		}
	})
}

// contentTree makes a tree of a kind that is hard to estimate.
func contentTree(t *testing.T, kind string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.NewChaCha8([32]byte{1})
	switch kind {
	case "small files with long names":
		for i := range 4000 {
			if i%1000 == 0 {
				if err := os.Mkdir(filepath.Join(dir, fmt.Sprint(i/1000)), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write(fmt.Sprintf("%d/%s%d", i/1000, strings.Repeat("name", 50), i), []byte("x"))
		}
	case "directories":
		for i := range 3000 {
			if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint(i%50), fmt.Sprint(i)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	case "a large file":
		data := make([]byte, 40<<20)
		if _, err := random.Read(data); err != nil {
			t.Fatal(err)
		}
		write("large", data)
	case "files of a page and a bit":
		data := make([]byte, 4097)
		for i := range 3000 {
			if _, err := random.Read(data); err != nil {
				t.Fatal(err)
			}
			write(fmt.Sprint(i), data)
		}
	}
	return dir
}

// TestContentSize wants file systems that follow from their content to hold it,
// with what is to be free, and not to be much larger.
func TestContentSize(t *testing.T) {
	t.Parallel()
	for _, tree := range []string{"nothing", "small files with long names", "directories", "a large file", "files of a page and a bit"} {
		dir := contentTree(t, tree)
		for _, kind := range []string{"ext4", "xfs", "btrfs", "erofs"} {
			t.Run(kind+" with "+tree, func(t *testing.T) {
				t.Parallel()
				for _, free := range []int64{0, 200 << 20} {
					size := "content"
					if free > 0 {
						size = fmt.Sprintf("content+%dMiB", free>>20)
					}
					out := t.TempDir()
					in := &module.Input{Tree: dir, OutputDir: out, Epoch: 1, Log: &bytes.Buffer{}, Options: json.RawMessage(
						`{"filename": "fs", "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "fs_type": "` + kind + `", "size": "` + size + `"}`)}
					if err := runRawFS(t.Context(), in); err != nil {
						t.Fatal(err)
					}
					checkFree(t, filepath.Join(out, "fs"), kind, free)
				}
			})
		}
	}
}

// checkFree mounts a file system where that can be done, and looks at what is free.
func checkFree(t *testing.T, image, kind string, want int64) {
	t.Helper()
	st, err := os.Stat(image)
	if err != nil || st.Size()%mebibyte != 0 {
		t.Fatalf("%d bytes, %v", st.Size(), err)
	}
	if kind == "erofs" || os.Geteuid() != 0 {
		return
	}
	dir := t.TempDir()
	if msg, err := exec.Command("mount", "-t", kind, "-o", "loop,ro", image, dir).CombinedOutput(); err != nil {
		t.Logf("not mounted: %s", msg)
		return
	}
	var fs unix.Statfs_t
	err = unix.Statfs(dir, &fs)
	if msg, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		t.Errorf("umount: %s", msg)
	}
	free, used := int64(fs.Bfree)*fs.Bsize, st.Size()-int64(fs.Bfree)*fs.Bsize
	if err != nil || free < want {
		t.Errorf("%d bytes are free of %d, want %d (%v)", free, st.Size(), want, err)
	}
	// What is not needed is bounded: by the smallest file system, or a tenth and what
	// is spared for boot loaders, trees and logs.
	if most := max(filesystemKinds[kind].minSize, want+used/10+128<<20); free > most {
		t.Errorf("%d bytes are free of %d, want at most %d", free, st.Size(), most)
	}
}

// The size depends on the tree and on nothing of the builder's file system.
func TestContentSizeOfHoles(t *testing.T) {
	t.Parallel()
	var sums [2][]byte
	for i := range sums {
		in := &module.Input{Tree: t.TempDir(), OutputDir: t.TempDir(), Epoch: 1, Log: &bytes.Buffer{}, Options: json.RawMessage(
			`{"filename": "fs", "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "size": "content+1MiB"}`)}
		file := filepath.Join(in.Tree, "zeros")
		err := os.WriteFile(file, make([]byte, 8<<20), 0o644)
		if i == 1 {
			err = errors.Join(os.Truncate(file, 0), os.Truncate(file, 8<<20))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := runRawFS(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if sums[i], err = os.ReadFile(filepath.Join(in.OutputDir, "SHA256SUMS")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(sums[0], sums[1]) {
		t.Errorf("with holes %s, without %s", sums[1], sums[0])
	}
}

const (
	followShort = `{"format": "raw", "filename": "disk.raw", "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "size": "content+40MiB"}`
	followGPT   = `{"format": "raw", "filename": "disk.raw", "pttype": "gpt", "size": "content+40MiB", "partitions": [
		{"size": 2048, "type": "21686148-6449-6E6F-744E-656564454649"}, {"size": 16384, "filesystem": {"type": "vfat", "mountpoint": "/boot/efi"}},
		{"filesystem": {"type": "ext4", "mountpoint": "/"}}]}`
	followLUKS = `{"format": "raw", "filename": "disk.raw", "pttype": "gpt", "size": "content+40MiB", "partitions": [
		{"luks": {"passphrase_secret": "x", "volume_key": "derived"}, "filesystem": {"type": "ext4", "mountpoint": "/"}}]}`
	followLVM = `{"format": "raw", "filename": "disk.raw", "pttype": "gpt", "size": "content+40MiB", "partitions": [
		{"lvm": {"name": "vg", "volumes": [{"name": "swap", "size": 16384, "filesystem": {"type": "swap"}}, {"name": "root", "filesystem": {"type": "ext4", "mountpoint": "/"}}]}}]}`
	followVerity = `{"format": "raw", "filename": "disk.raw", "pttype": "gpt", "size": "content+40MiB", "partitions": [
		{"filesystem": {"type": "ext4", "mountpoint": "/", "verity": true}}]}`
	followFAT = `{"format": "raw", "filename": "disk.raw", "pttype": "gpt", "size": "content+1MiB", "partitions": [
		{"size": 131072, "filesystem": {"type": "ext4", "mountpoint": "/"}}, {"filesystem": {"type": "vfat", "mountpoint": "/data"}}]}`
	followFirst = `{"format": "raw", "filename": "disk.raw", "pttype": "gpt", "size": "content+40MiB", "partitions": [
		{"filesystem": {"type": "ext4", "mountpoint": "/"}}, {"start": 204800, "size": 65536, "filesystem": {"type": "ext4", "mountpoint": "/srv"}}]}`
)

// TestDiskFollowsContent wants the smallest disk in which the last file system has
// its size, whatever lies around it.
func TestDiskFollowsContent(t *testing.T) {
	t.Parallel()
	tree := smallTree(t, "etc/hostname")
	if err := os.WriteFile(filepath.Join(tree, "large"), bytes.Repeat([]byte("data"), 5<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		file := filepath.Join(tree, "data", fmt.Sprint(i%7), fmt.Sprintf("file with a name %d", i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, options := range map[string]string{
		"short": followShort, "gpt": followGPT, "luks": followLUKS, "lvm": followLVM, "verity": followVerity, "vfat": followFAT,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if problems := checkQemu(json.RawMessage(options)); len(problems) > 0 {
				t.Fatal(problems)
			}
			var o QemuOptions
			if err := json.Unmarshal([]byte(options), &o); err != nil {
				t.Fatal(err)
			}
			p, _ := planQemu(o)
			in := &module.Input{Tree: tree, Epoch: 1, Log: &bytes.Buffer{}}
			q, err := p.followContent(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			f := growing(q.filesystems)
			want := sizeFor(f.kind, f.content.Full(), o.Size.Free)
			if f.size < want || len(q.problems) > 0 {
				t.Errorf("%d bytes, want %d: %v", f.size, want, q.problems)
			}
			o.Size.Bytes = q.options.Size.Bytes - mebibyte
			if less, problems := planQemu(o); len(problems) == 0 && growing(less.filesystems).size >= want {
				t.Errorf("a disk of %d bytes would do, and it has %d", o.Size.Bytes, q.options.Size.Bytes)
			}
			if q.id != p.id || f.uuid != growing(p.filesystems).uuid {
				t.Error("identifiers depend on the content")
			}
			if name == "luks" {
				return // its secret comes with a build
			}
			out, log, err := assemble(t.Context(), t, tree, json.RawMessage(options), t.TempDir())
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			image := filepath.Join(out, "disk.raw")
			if st, err := os.Stat(image); err != nil || st.Size() != q.options.Size.Bytes {
				t.Errorf("the image: %v, %v", st, err)
			}
			if !strings.Contains(log, "MiB to spare, so the disk has") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestFollowErrors(t *testing.T) {
	t.Parallel()
	const noRest = "no file system with content takes what is free"
	for options, want := range map[string]string{
		strings.Replace(followShort, "content+40MiB", "content+40MB", 1):                                                                                                 "is not a number of bytes",
		strings.Replace(followGPT, `"filesystem": {"type": "ext4"`, `"size": 65536, "filesystem": {"type": "ext4"`, 1):                                                   noRest,
		strings.Replace(followGPT, `{"type": "ext4", "mountpoint": "/"}}]`, `{"type": "ext4", "mountpoint": "/"}, "size": 65536}, {"filesystem": {"type": "swap"}}]`, 1): noRest,
		followFirst: noRest,
	} {
		problems := checkQemu(json.RawMessage(options))
		if len(problems) != 1 || problems[0].Pointer != "/size" || !strings.Contains(problems[0].Message, want) {
			t.Errorf("%s: %v", options, problems)
		}
	}
	tree := smallTree(t, "etc/hostname")
	for options, want := range map[string]string{
		strings.Replace(followShort, "40MiB", "3TiB", 1): "no disk of up to",
		strings.Replace(followGPT, "40MiB", "64TiB", 1):  "no disk of up to",
	} {
		if _, _, err := assemble(t.Context(), t, tree, json.RawMessage(options), t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", options, err)
		}
	}
	// What does not fit after all is told with what helps.
	f := &filesystem{what: "root", sizeOption: "size", follows: &ImageSize{Free: 10 << 20}}
	if err := f.explain(&content.TooSmallError{Needed: 120 << 20, Available: 100 << 20}); !strings.Contains(err.Error(), `set the option size to "content+42MiB"`) {
		t.Error(err)
	}
}

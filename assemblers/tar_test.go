package assemblers

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

const testEpoch = 1700000000

// run runs an assembler and returns the output directory and the log.
func run(t testing.TB, name, tree, book, options string) (string, string, error) {
	t.Helper()
	out := t.TempDir()
	var log bytes.Buffer
	err := module.Find(Modules(), name).Run(t.Context(), &module.Input{
		Tree: tree, Ledger: book, Options: json.RawMessage(options), OutputDir: out, Epoch: testEpoch, Log: &log,
	})
	return out, log.String(), err
}

// list describes the entries of an archive.
func list(t *testing.T, r io.Reader) []string {
	t.Helper()
	var out []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprintf("%c %q %#o %d:%d %d", h.Typeflag, h.Name, h.Mode, h.Uid, h.Gid, h.ModTime.Unix())
		if h.Linkname != "" {
			s += fmt.Sprintf(" -> %q", h.Linkname)
		}
		if h.Devmajor != 0 || h.Devminor != 0 {
			s += fmt.Sprintf(" %d,%d", h.Devmajor, h.Devminor)
		}
		switch {
		case len(data) > 60:
			s += fmt.Sprintf(" %d bytes, %d of them zero", len(data), bytes.Count(data, []byte{0}))
		case len(data) > 0:
			s += fmt.Sprintf(" %q", data)
		}
		for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			if strings.Contains(k, ".") {
				s += fmt.Sprintf(" %s=%q", k, h.PAXRecords[k])
			}
		}
		if !h.AccessTime.IsZero() || !h.ChangeTime.IsZero() || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s: times or names that no archive should have", s)
		}
		out = append(out, s)
	}
}

func listFile(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return list(t, f)
}

// accessList makes an access control list: tag, permissions, id.
func accessList(entries ...[3]int) []byte {
	out := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint16(out, uint16(e[0]))
		out = binary.LittleEndian.AppendUint16(out, uint16(e[1]))
		out = binary.LittleEndian.AppendUint32(out, uint32(e[2]))
	}
	return out
}

const nobody = 0xffffffff

type noted struct{ path, name, value string }

// book makes a ledger.
func book(t *testing.T, entries ...noted) string {
	t.Helper()
	dir := t.TempDir()
	err := ledger.Update(dir, time.Unix(1, 0), func(l *ledger.Ledger) error {
		for _, e := range entries {
			if err := l.Set(e.path, e.name, []byte(e.value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// setTimes gives every file of a tree the same time.
func setTimes(t testing.TB, tree string, when time.Time) {
	t.Helper()
	ts := unix.NsecToTimespec(when.UnixNano())
	err := filepath.WalkDir(tree, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wholeTree is a tree with every kind of file that can be made without root.
func wholeTree(t *testing.T) string {
	t.Helper()
	long := strings.Repeat("d", 90) + "/" + strings.Repeat("f", 200)
	dir := treetest.New(t, treetest.Tree{
		"a":             treetest.File("first"),
		"a-b":           treetest.File("sorted after what is in a directory a"),
		"bin":           treetest.Link("usr/bin"),
		"etc":           treetest.Dir(0o750),
		"etc/shadow":    treetest.File("secret").Perm(0o640),
		"etc/out":       treetest.Link("/etc/passwd"),
		"etc/up":        treetest.Link("../../../../etc"),
		"late":          treetest.File("late"),
		"run/pipe":      treetest.Fifo(),
		"tmp":           treetest.Dir(0o777 | os.ModeSticky),
		"usr/bin/su":    treetest.File("su").Perm(0o755 | os.ModeSetuid),
		"usr/lib/z":     treetest.File("one file"),
		long:            treetest.File("long"),
		"näme/\xff\xfe": treetest.File("bytes"),
	})
	for _, err := range []error{
		os.Link(filepath.Join(dir, "usr/lib/z"), filepath.Join(dir, "usr/lib/b")),
		os.Link(filepath.Join(dir, "usr/lib/z"), filepath.Join(dir, "a-link")),
		os.Chmod(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "holes"), []byte("begin"), 0o600),
		os.Truncate(filepath.Join(dir, "holes"), 3<<20),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	setTimes(t, dir, time.Unix(1600000000, 987654321))
	late := time.Unix(1800000000, 5)
	if err := os.Chtimes(filepath.Join(dir, "late"), late, late); err != nil {
		t.Fatal(err)
	}
	return dir
}

func wholeLedger(t *testing.T) string {
	list := string(accessList([3]int{ledger.ACLUserObj, 7, nobody}, [3]int{ledger.ACLUser, 4, 1000}, [3]int{ledger.ACLGroupObj, 5, nobody}, [3]int{ledger.ACLMask, 7, nobody}, [3]int{ledger.ACLOther, 7, nobody}))
	return book(t,
		noted{"/", ledger.Label, "u:r:root_t:s0\x00"},
		noted{"/a", "user.k=v%", "1\x00\n2"},
		noted{"/bin", ledger.Label, "u:r:bin_t:s0"},
		noted{"/etc", ledger.DefaultACL, list},
		noted{"/etc/shadow", ledger.AccessACL, list},
		noted{"/etc/shadow", "trusted.t", ""},
		noted{"/gone", "user.x", "1"},
		noted{"/tmp", ledger.AccessACL, string(accessList([3]int{ledger.ACLUserObj, 7, nobody}, [3]int{ledger.ACLGroupObj, 5, nobody}, [3]int{ledger.ACLOther, 5, nobody}))},
		noted{"/usr/lib/b", "user.b", "only this name"},
		noted{"/usr/lib/z", ledger.Label, "u:r:lib_t:s0"},
	)
}

func TestTar(t *testing.T) {
	t.Parallel()
	tree, ids := wholeTree(t), fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	out, log, err := run(t, "org.osbuild.tar", tree, wholeLedger(t), `{"filename": "t.tar"}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, out); got != "SHA256SUMS t.tar" {
		t.Errorf("output: %s", got)
	}
	if !strings.Contains(log, "extended attributes for 1 files that do not exist") || !strings.Contains(log, "t.tar: 24 files") {
		t.Errorf("log: %s", log)
	}
	const bits = `\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\xe8\x03\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff \x00\x00\x00\xff\xff\xff\xff`
	const asIs = `\x02\x00\x00\x00\x01\x00\a\x00\xff\xff\xff\xff\x02\x00\x04\x00\xe8\x03\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff\x10\x00\a\x00\xff\xff\xff\xff \x00\a\x00\xff\xff\xff\xff`
	d, f := strings.Repeat("d", 90), strings.Repeat("f", 200)
	want := strings.Split(strings.NewReplacer("IDS", ids, "OLD", "1600000000", "NEW", "1700000000").Replace(strings.Join([]string{
		`5 "./" 0755 IDS NEW RHT.security.selinux="u:r:root_t:s0" SCHILY.xattr.security.selinux="u:r:root_t:s0\x00"`,
		`0 "./a" 0644 IDS OLD "first" SCHILY.xattr.user.k%3Dv%25="1\x00\n2"`,
		`0 "./a-b" 0644 IDS OLD "sorted after what is in a directory a"`,
		`0 "./a-link" 0644 IDS OLD "one file" RHT.security.selinux="u:r:lib_t:s0" SCHILY.xattr.security.selinux="u:r:lib_t:s0" SCHILY.xattr.user.b="only this name"`,
		`2 "./bin" 0777 IDS OLD -> "usr/bin" RHT.security.selinux="u:r:bin_t:s0" SCHILY.xattr.security.selinux="u:r:bin_t:s0"`,
		`5 "./` + d + `/" 0755 IDS NEW`,
		`0 "./` + d + `/` + f + `" 0644 IDS OLD "long"`,
		`5 "./etc/" 0750 IDS NEW SCHILY.acl.default="user::rwx,user:1000:r--,group::r-x,mask::rwx,other::rwx" SCHILY.xattr.system.posix_acl_default="` + asIs + `"`,
		`2 "./etc/out" 0777 IDS OLD -> "/etc/passwd"`,
		`0 "./etc/shadow" 0640 IDS OLD "secret" SCHILY.acl.access="user::rw-,user:1000:r--,group::r-x,mask::r--,other::---" SCHILY.xattr.system.posix_acl_access="` + bits + `" SCHILY.xattr.trusted.t=""`,
		`2 "./etc/up" 0777 IDS OLD -> "../../../../etc"`,
		`0 "./holes" 0600 IDS OLD 3145728 bytes, 3145723 of them zero`,
		`0 "./late" 0644 IDS NEW "late"`,
		`5 "./näme/" 0755 IDS NEW`,
		`0 "./näme/\xff\xfe" 0644 IDS OLD "bytes"`,
		`5 "./run/" 0755 IDS NEW`,
		`6 "./run/pipe" 0644 IDS OLD`,
		`5 "./tmp/" 01777 IDS NEW`,
		`5 "./usr/" 0755 IDS NEW`,
		`5 "./usr/bin/" 0755 IDS NEW`,
		`0 "./usr/bin/su" 04755 IDS OLD "su"`,
		`5 "./usr/lib/" 0755 IDS NEW`,
		`1 "./usr/lib/b" 0644 IDS OLD -> "./a-link"`,
		`1 "./usr/lib/z" 0644 IDS OLD -> "./a-link"`,
	}, "\n")), "\n")
	if diff := cmp.Diff(want, listFile(t, filepath.Join(out, "t.tar"))); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
}

// TestTarForms leaves out one kind of attribute after the other.
func TestTarForms(t *testing.T) {
	t.Parallel()
	tree, book := wholeTree(t), wholeLedger(t)
	for _, tc := range []struct {
		options string
		has     []string
		not     []string
	}{
		{`"acls": false`, []string{"RHT.security.selinux", "xattr.user"}, []string{"acl"}},
		{`"selinux": false`, []string{"SCHILY.acl", "xattr.user", "posix_acl"}, []string{"selinux"}},
		{`"xattrs": false`, []string{"SCHILY.acl.access", "SCHILY.acl.default", "RHT.security.selinux"}, []string{"SCHILY.xattr"}},
		{`"xattrs": false, "acls": false, "selinux": false`, nil, []string{"SCHILY", "RHT"}},
	} {
		out, _, err := run(t, "org.osbuild.tar", tree, book, `{"filename": "t", `+tc.options+`}`)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(listFile(t, filepath.Join(out, "t")), "\n")
		for _, s := range tc.has {
			if !strings.Contains(text, s) {
				t.Errorf("%s: no %s in\n%s", tc.options, s, text)
			}
		}
		for _, s := range tc.not {
			if strings.Contains(text, s) {
				t.Errorf("%s: %s in\n%s", tc.options, s, text)
			}
		}
	}
}

// TestTarIgnoresTheBuilder makes the archive of two trees that differ in what
// only the builder's disk has: order, attributes, parts of seconds.
func TestTarIgnoresTheBuilder(t *testing.T) {
	t.Parallel()
	var archives [2][]byte
	for i := range archives {
		dir := t.TempDir()
		order := []string{"b", "a", "c/x", "c/a"}
		if i == 1 {
			slices.Reverse(order)
		}
		for _, name := range order {
			p := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(name), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if i == 1 {
			if err := unix.Lsetxattr(filepath.Join(dir, "a"), "user.disk", []byte("x"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
				t.Fatal(err)
			}
		}
		setTimes(t, dir, time.Unix(1600000000, int64(i)*1000))
		if err := errors.Join(os.Chmod(dir, 0o755), os.Chtimes(filepath.Join(dir, "c"), time.Unix(int64(i), 0), time.Unix(int64(i), 0))); err != nil {
			t.Fatal(err)
		}
		out, _, err := run(t, "org.osbuild.tar", dir, "", `{"filename": "t.gz", "compression": "gzip"}`)
		if err != nil {
			t.Fatal(err)
		}
		if archives[i], err = os.ReadFile(filepath.Join(out, "t.gz")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
}

func TestTarOfDevicesOwnersAndCapabilities(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, treetest.Tree{"ping": treetest.File("p")})
	capability := "\x01\x00\x00\x03\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x27\x00\x00"
	for _, err := range []error{
		unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		unix.Mknod(filepath.Join(dir, "sda"), unix.S_IFBLK|0o660, int(unix.Mkdev(8, 300))),
		os.Chmod(filepath.Join(dir, "null"), 0o666),
		os.Lchown(filepath.Join(dir, "sda"), 3000000, 6),
		unix.Lsetxattr(filepath.Join(dir, "ping"), ledger.Capability, []byte(capability), 0),
	} {
		if err != nil {
			t.Skip("this needs root:", err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "sda"), 0o660); err != nil {
		t.Fatal(err)
	}
	setTimes(t, dir, time.Unix(5, 0))
	out, _, err := run(t, "org.osbuild.tar", dir, "", `{"filename": "t"}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`3 "./null" 0666 0:0 5 1,3`,
		`0 "./ping" 0644 0:0 5 "p" SCHILY.xattr.security.capability="\x01\x00\x00\x02\x00 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"`,
		`4 "./sda" 0660 3000000:6 5 8,300`,
	}
	if diff := cmp.Diff(want, listFile(t, filepath.Join(out, "t"))[1:]); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
}

// Without an output directory the archive goes where it is asked for, and is the
// same.
func TestTarToOutput(t *testing.T) {
	t.Parallel()
	tree, book := wholeTree(t), wholeLedger(t)
	out, _, err := run(t, "org.osbuild.tar", tree, book, `{"filename": "a.tar"}`)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(out, "a.tar"))
	if err != nil {
		t.Fatal(err)
	}
	var got, log bytes.Buffer
	in := &module.Input{Tree: tree, Ledger: book, Options: json.RawMessage(`{"filename": "a.tar"}`), Epoch: testEpoch, Log: &log, Output: &got}
	if err := module.Find(Modules(), "org.osbuild.tar").Run(t.Context(), in); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%v, %d bytes, not %d; %s", err, got.Len(), len(want), log.String())
	}
	in.Output = failingWriter{}
	if err := module.Find(Modules(), "org.osbuild.tar").Run(t.Context(), in); err == nil || !strings.Contains(err.Error(), "no reader") {
		t.Errorf("error %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no reader") }

func TestCheckTar(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ options, pointer, message string }{
		{`{"filename": "a"}`, "", ""},
		{`{"filename": "a", "compression": "lzip", "acls": false}`, "", ""},
		{`{}`, "/filename", "is empty"},
		{`{"filename": "../a"}`, "/filename", "plain file name"},
		{`{"filename": "a", "compression": "bzip2"}`, "/compression", "bzip2 is not supported: use xz, gzip or zstd"},
		{`{"filename": "a", "compression": "lzop"}`, "/compression", "lzop is not supported"},
		{`{"filename": "a", "compression": "zip"}`, "/compression", `"zip" is not known`},
		{`{"filename": "a", "acls": 1}`, "", "cannot unmarshal number"},
		{`{"filename": "a", "x": 1}`, "", "unknown field"},
	} {
		got := checkTar(json.RawMessage(tc.options))
		if tc.message == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || got[0].Pointer != tc.pointer || !strings.Contains(got[0].Message, tc.message) {
			t.Errorf("%s: %+v, want %s: %s", tc.options, got, tc.pointer, tc.message)
		}
	}
}

// TestTarIsReadByTar lets tar(1) compare the archive with the tree.
func TestTarIsReadByTar(t *testing.T) {
	t.Parallel()
	need(t, "tar")
	tree := wholeTree(t)
	setTimes(t, tree, time.Unix(testEpoch, 0))
	out, _, err := run(t, "org.osbuild.tar", tree, wholeLedger(t), `{"filename": "t"}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := exec.Command("tar", "--numeric-owner", "-C", tree, "-df", filepath.Join(out, "t")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, got)
	}
}

func TestTarHostile(t *testing.T) {
	t.Parallel()
	outside := treetest.New(t, treetest.Tree{"secret/file": treetest.File("the builder's secret")})
	tree := treetest.New(t, treetest.Tree{
		"dir":  treetest.Link(filepath.Join(outside, "secret")),
		"file": treetest.Link(filepath.Join(outside, "secret/file")),
		"self": treetest.Link("/proc/self/root"),
		"loop": treetest.Link("loop"),
		"pipe": treetest.Fifo(),
	})
	if l, err := net.Listen("unix", filepath.Join(tree, "socket")); err == nil {
		defer l.Close()
	}
	out, log, err := run(t, "org.osbuild.tar", tree, "", `{"filename": "t"}`)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(out, "t"))
	if err != nil || bytes.Contains(data, []byte("builder's secret")) {
		t.Errorf("a link was followed: %v", err)
	}
	if got := list(t, bytes.NewReader(data)); len(got) != 6 {
		t.Errorf("entries: %s", strings.Join(got, "\n"))
	}
	if !strings.Contains(log, `"socket" is a socket`) {
		t.Errorf("log: %s", log)
	}

	deep := t.TempDir()
	at, err := unix.Open(deep, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 200)
	for range 25 {
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = next
	}
	unix.Close(at)
	bad := book(t, noted{"/file", ledger.AccessACL, "no list"})
	for _, tc := range []struct{ name, tree, book, options, message string }{
		{"too deep", deep, "", `{"filename": "t"}`, "too long"},
		{"list", treetest.New(t, treetest.Tree{"file": treetest.File("x")}), bad, `{"filename": "t", "compression": "zstd"}`, `posix_acl_access of "file": not a valid`},
		{"no tree", filepath.Join(deep, "no"), "", `{"filename": "t"}`, "no such file"},
		{"options", tree, "", `{"filename": "a/b"}`, "option /filename: "},
		{"unknown option", tree, "", `{"filename": "a", "y": 1}`, "unknown field"},
	} {
		out, _, err := run(t, "org.osbuild.tar", tc.tree, tc.book, tc.options)
		if err == nil || !strings.Contains(err.Error(), tc.message) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if left := names(t, out); left != "" {
			t.Errorf("%s: left: %s", tc.name, left)
		}
	}
	if err := content.Walk(t.Context(), deep, func(*content.Entry) error { return nil }); err == nil || !strings.Contains(err.Error(), "nothing could open it") {
		t.Errorf("a tree that is too deep: %v", err)
	}
	if err := runTar(t.Context(), &module.Input{Tree: tree, Options: json.RawMessage(`{"filename": "a"}`)}); err == nil || !strings.Contains(err.Error(), "output_dir") {
		t.Errorf("no output directory: %v", err)
	}
}

// TestWalkSeesChanges puts something else in the place of a file between the
// moment that it is met and the moment that it is read.
func TestWalkSeesChanges(t *testing.T) {
	t.Parallel()
	secret := treetest.New(t, treetest.Tree{"s": treetest.File("secret")})
	for name, change := range map[string]func(string) error{
		"link":    func(p string) error { return errors.Join(os.Remove(p), os.Symlink(filepath.Join(secret, "s"), p)) },
		"pipe":    func(p string) error { return errors.Join(os.Rename(p, p+"-"), unix.Mkfifo(p, 0o600)) },
		"shorter": func(p string) error { return os.Truncate(p, 1) },
	} {
		dir := treetest.New(t, treetest.Tree{"f": treetest.File("content")})
		var out bytes.Buffer
		err := content.Walk(t.Context(), dir, func(e *content.Entry) error {
			if e.Path != "f" {
				return nil
			}
			if err := change(filepath.Join(dir, "f")); err != nil {
				t.Fatal(err)
			}
			return e.CopyTo(t.Context(), &out, make([]byte, 10))
		})
		if err == nil || strings.Contains(out.String(), "secret") {
			t.Errorf("%s: %v, %q", name, err, &out)
		}
	}
}

// BenchmarkTar packs a tree of 20000 small files.
func BenchmarkTar(b *testing.B) {
	const files = 20000
	dir := b.TempDir()
	for i := range files {
		d := filepath.Join(dir, fmt.Sprintf("usr/d%03d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(d, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		data := bytes.Repeat(fmt.Appendf(nil, "%s%d the %x of ", benchWords[i%len(benchWords)], i, i*i), i%97)
		if err := os.WriteFile(filepath.Join(d, fmt.Sprintf("f%05d", i)), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for _, kind := range []string{"none", "gzip", "zstd", "xz"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := run(b, "org.osbuild.tar", dir, "", `{"filename": "t", "compression": "`+kind+`"}`); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(peakMemory(), "MiB-peak")
		})
	}
}

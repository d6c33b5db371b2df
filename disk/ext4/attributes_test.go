package ext4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/content"

	"golang.org/x/sys/unix"
)

// acl makes a list in the form of the system calls, of tags, permissions and
// ids in turn.
func acl(entries ...uint32) []byte {
	out := []byte{2, 0, 0, 0}
	for ; len(entries) > 0; entries = entries[3:] {
		out = binary.LittleEndian.AppendUint16(out, uint16(entries[0]))
		out = binary.LittleEndian.AppendUint16(out, uint16(entries[1]))
		out = binary.LittleEndian.AppendUint32(out, entries[2])
	}
	return out
}

const none = 0xffffffff

// aclFor gives a user the right to read a file of the mode 0640.
func aclFor(uid uint32) []byte {
	return acl(1, 6, none, 2, 4, uid, 4, 4, none, 0x10, 4, none, 0x20, 0, none)
}

// fsck checks a file system on its own and returns the file with it.
func fsck(t *testing.T, o testOptions) string {
	t.Helper()
	e2fsck := program(t, "e2fsck")
	part := o.Disk
	if o.Offset != 0 {
		data, err := os.ReadFile(o.Disk)
		if err != nil {
			t.Fatal(err)
		}
		part = filepath.Join(t.TempDir(), "part")
		if err := os.WriteFile(part, data[o.Offset:o.Offset+o.Size/BlockSize*BlockSize], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(e2fsck, "-fn", part).CombinedOutput(); err != nil {
		t.Fatalf("e2fsck: %v: %s", err, out)
	}
	return part
}

// attribute reads an attribute back with debugfs; ok is false if there is none.
func attribute(t *testing.T, part, file, name string) (value []byte, ok bool) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "value")
	if msg, err := exec.Command(program(t, "debugfs"), "-R", fmt.Sprintf("ea_get -f %s %q %s", out, file, name), part).CombinedOutput(); err != nil {
		t.Fatalf("debugfs: %v: %s", err, msg)
	}
	value, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command(program(t, "debugfs"), "-R", fmt.Sprintf("ea_list %q", file), part).Output()
	if err != nil {
		t.Fatal(err)
	}
	return value, strings.Contains(string(list), "  "+name+" (")
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	o := options(t, sampleTree(t))
	caps := []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	v3 := append([]byte("\x01\x00\x00\x03"), append(slices.Clone(caps[4:]), 1, 2, 3, 4)...)
	label := []byte("system_u:object_r:etc_t:s0\x00")
	o.Attributes = map[string][]content.Attribute{
		"/":                  {{Name: "security.selinux", Value: label}},
		"/etc":               {{Name: "security.selinux", Value: label}, {Name: "system.posix_acl_default", Value: acl(1, 7, none, 4, 5, none, 0x20, 0, none)}},
		"/etc/hardlink":      {{Name: "user.note", Value: []byte("n")}, {Name: "user.empty", Value: nil}},
		"/link":              {{Name: "security.selinux", Value: label}},
		"/usr/share/f000":    {{Name: "security.selinux", Value: label}, {Name: "security.capability", Value: v3}, {Name: "system.posix_acl_access", Value: aclFor(33)}, {Name: "trusted.x", Value: []byte{0, 255}}},
		"/usr/share/f001":    {{Name: "user.big", Value: bytes.Repeat([]byte("b"), xaRoom-xaEntrySize-padded(len("big")))}},
		"/usr/share/f002":    {{Name: "user.\xc3\xa9", Value: bytes.Repeat([]byte{0xfe}, 101)}},
		"/usr/share/f003":    {{Name: "system.posix_acl_access", Value: acl(1, 6, none, 4, 4, none, 0x20, 0, none)}},
		"/usr/share/missing": {{Name: "user.note", Value: nil}},
		"/link/f004":         {{Name: "user.note", Value: nil}},
	}
	// More users of one block than it may have.
	for i := 10; i < 300; i++ {
		o.Attributes[fmt.Sprintf("/usr/share/f%03d", i)] = []content.Attribute{{Name: "user.same", Value: bytes.Repeat([]byte("s"), 200)}}
	}
	warnings, err := build(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(warnings, `there are extended attributes for 2 files that do not exist, such as "/link/f004"`) {
		t.Errorf("warnings %q", warnings)
	}
	part := fsck(t, o)
	for path, list := range o.Attributes {
		if path == "/usr/share/missing" || path == "/link/f004" || path > "/usr/share/f010" && path < "/usr/share/f298" || path == "/usr/share/f002" {
			continue
		}
		for _, a := range list {
			want, is := a.Value, true
			switch {
			case a.Name == "security.capability":
				want = caps
			case strings.HasPrefix(a.Name, "system."):
				// What has no id is read back with the id 0.
				want = bytes.ReplaceAll(want, []byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 4))
			}
			if path == "/usr/share/f003" {
				// The list says what the mode says.
				want, is = nil, false
			}
			if got, ok := attribute(t, part, path, a.Name); ok != is || !bytes.Equal(got, want) {
				t.Errorf("%s of %s is %q (%v), want %q", a.Name, path, got, ok, want)
			}
		}
	}
	if got, ok := attribute(t, part, "/etc/hostname", "user.note"); !ok || string(got) != "n" {
		t.Errorf("the other name of the file has %q (%v)", got, ok)
	}
	out, err := exec.Command(program(t, "debugfs"), "-R", "stat /usr/share/f200", part).Output()
	if err != nil || !strings.Contains(string(out), "Blockcount: 24") || strings.Contains(string(out), "File ACL: 0\n") {
		t.Errorf("stat: %v: %s", err, out)
	}
}

// TestOnlyTheseAttributes makes the file system of a tree with attributes on
// the builder's disk and of one without.
func TestOnlyTheseAttributes(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	var first []byte
	for i := range 2 {
		tree := sampleTree(t)
		if i == 1 {
			for _, name := range []string{"etc/hostname", "etc", "usr/share/f001"} {
				if err := unix.Lsetxattr(filepath.Join(tree, name), "user.onlyhere", bytes.Repeat([]byte("x"), 300), 0); err != nil {
					t.Skip("user attributes cannot be set here:", err)
				}
			}
		}
		o := options(t, tree)
		o.Attributes = map[string][]content.Attribute{"/etc/hostname": {{Name: "user.note", Value: []byte("n")}}}
		if _, err := build(t, o); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(o.Disk)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		} else if !bytes.Equal(first, data) {
			t.Error("attributes on the builder's disk have reached the file system")
		}
	}
}

func TestConflictingAttributes(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	o := options(t, sampleTree(t))
	o.Attributes = map[string][]content.Attribute{"/etc/hardlink": {{Name: "user.note", Value: []byte("h")}}, "/etc/hostname": {{Name: "user.note", Value: []byte("n")}}}
	warnings, err := build(t, o)
	if err != nil || !slices.Contains(warnings, `"/etc/hostname" and "/etc/hardlink" are one file and have different attributes user.note: that of the former holds`) {
		t.Errorf("%q, %v", warnings, err)
	}
	if got, _ := attribute(t, fsck(t, o), "/etc/hardlink", "user.note"); string(got) != "n" {
		t.Errorf("the attribute is %q", got)
	}
}

// TestGroups takes blocks of groups of every kind: with files, with a copy of
// the superblock, and those that mke2fs has not begun.
func TestGroups(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	for after := -1; after < 6; after++ {
		tree := t.TempDir()
		if err := os.WriteFile(filepath.Join(tree, "f"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		o := options(t, tree)
		o.Offset, o.Size = 0, 900<<20
		if err := os.Truncate(o.Disk, o.Size); err != nil {
			t.Fatal(err)
		}
		if _, err := build(t, o); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(o.Disk, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		sb, groups, err := readSuper(f, 0)
		if err != nil {
			t.Fatal(err)
		}
		in, err := newInodes(f, 0, sb, groups)
		if err != nil {
			t.Fatal(err)
		}
		w := &attributeWriter{t: in, blocks: newBlocks(in, sb), shared: map[string]*sharedBlock{}}
		w.blocks.group = after
		number, err := (&directories{t: in, entries: map[uint32]map[string]uint32{}}).find("/f")
		if err != nil {
			t.Fatal(err)
		}
		value := bytes.Repeat([]byte{byte('a' + after)}, 300)
		if err := w.set(number, Root{}, map[string][]byte{"user.a": value}); err != nil {
			t.Fatalf("after group %d: %v", after, err)
		}
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		if got := w.all[0].number / 32768; got != int64(after+1) {
			t.Errorf("the block %d is of group %d, want %d", w.all[0].number, got, after+1)
		}
		if err := Normalize(f, 0, Root{Mode: 0o755}, testEpoch); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got, _ := attribute(t, fsck(t, o), "/f", "user.a"); !bytes.Equal(got, value) {
			t.Errorf("read back: %q", got)
		}
	}
}

// TestManyAttributes has a directory whose list of blocks is a tree.
func TestManyAttributes(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	tree := t.TempDir()
	const files = 1500
	o := options(t, tree)
	o.Attributes = map[string][]content.Attribute{}
	name := func(i int) string { return fmt.Sprintf("f%05d%s", i, strings.Repeat("x", 200)) }
	for i := range files {
		// A block each lies between the blocks of the directory.
		if err := os.WriteFile(filepath.Join(tree, name(i)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		o.Attributes["/"+name(i)] = []content.Attribute{{Name: "user.a", Value: bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 150)}}
	}
	if _, err := build(t, o); err != nil {
		t.Fatal(err)
	}
	part := fsck(t, o)
	for _, i := range []int{0, 700, files - 1} {
		if got, _ := attribute(t, part, "/"+name(i), "user.a"); !bytes.Equal(got, o.Attributes["/"+name(i)][0].Value) {
			t.Errorf("file %d: %q", i, got)
		}
	}
}

func TestAttributesDoNotFit(t *testing.T) {
	t.Parallel()
	program(t, "mke2fs")
	big := bytes.Repeat([]byte("v"), 2500)
	tree := sampleTree(t)
	for _, tt := range []struct {
		list []content.Attribute
		want string
	}{
		{[]content.Attribute{{Name: "user.a", Value: big}, {Name: "user.b", Value: big}}, `"/usr/share/f000": the extended attributes take `},
		{[]content.Attribute{{Name: "system.data", Value: nil}}, `"/usr/share/f000": system.data: ext4 has no such attribute`},
		{[]content.Attribute{{Name: "user.", Value: nil}}, `ext4 has no such attribute`},
		{[]content.Attribute{{Name: "system.posix_acl_default", Value: aclFor(1)}}, "only a directory"},
		{[]content.Attribute{{Name: "system.posix_acl_access", Value: []byte("x")}}, "not a valid access control list"},
	} {
		o := options(t, tree)
		o.Attributes = map[string][]content.Attribute{"/usr/share/f000": tt.list}
		if _, err := build(t, o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want %q", tt.list[0].Name, err, tt.want)
		}
	}
	full := t.TempDir()
	o := options(t, full)
	o.Size = MinSize
	o.Attributes = map[string][]content.Attribute{}
	for i := range 3000 {
		name := fmt.Sprintf("f%04d", i)
		if err := os.WriteFile(filepath.Join(full, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		o.Attributes["/"+name] = []content.Attribute{{Name: "user.a", Value: append(bytes.Clone(big), name...)}}
	}
	_, err := build(t, o)
	var small *content.TooSmallError
	if !errors.As(err, &small) || small.Needed <= o.Size {
		t.Errorf("a full file system: %v", err)
	}
}

func TestStoreACL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		value  []byte
		mode   uint16
		access bool
		want   string
		err    string
	}{
		{"follows the mode", aclFor(33), 0o100751, true, "\x01\x00\x00\x00\x01\x00\x07\x00\x02\x00\x04\x00\x21\x00\x00\x00\x04\x00\x04\x00\x10\x00\x05\x00\x20\x00\x01\x00", ""},
		{"says what the mode says", acl(1, 6, none, 4, 4, none, 0x20, 0, none), 0o100640, true, "", ""},
		{"mask only", acl(1, 6, none, 4, 4, none, 0x10, 7, none, 0x20, 0, none), 0o100640, true, "\x01\x00\x00\x00\x01\x00\x06\x00\x04\x00\x04\x00\x10\x00\x04\x00\x20\x00\x00\x00", ""},
		{"default", acl(1, 7, none, 4, 5, none, 0x20, 0, none), 0o040700, false, "\x01\x00\x00\x00\x01\x00\x07\x00\x04\x00\x05\x00\x20\x00\x00\x00", ""},
		{"no version", []byte{}, 0o100640, true, "", "not a valid"},
		{"cut off", aclFor(1)[:20], 0o100640, true, "", "not a valid"},
		{"no mask", acl(1, 6, none, 2, 4, 1, 4, 4, none, 0x20, 0, none), 0o100640, true, "", "not a valid"},
		{"twice", acl(1, 6, none, 2, 4, 1, 2, 4, 1, 4, 4, none, 0x10, 4, none, 0x20, 0, none), 0o100640, true, "", "not a valid"},
		{"order", acl(4, 6, none, 1, 4, none, 0x20, 0, none), 0o100640, true, "", "not a valid"},
		{"permissions", acl(1, 8, none, 4, 4, none, 0x20, 0, none), 0o100640, true, "", "not a valid"},
		{"tag", acl(1, 6, none, 3, 4, none, 4, 4, none, 0x20, 0, none), 0o100640, true, "", "kind 0x3"},
	} {
		got, err := storeACL(tt.value, tt.mode, tt.access)
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}

// BenchmarkAttributes writes labels to 20000 files, and a list to every tenth.
func BenchmarkAttributes(b *testing.B) {
	mke2fs, err := exec.LookPath("mke2fs")
	if err != nil {
		b.Skip(err)
	}
	tree, name := b.TempDir(), filepath.Join(b.TempDir(), "disk")
	files := map[string][]content.Attribute{}
	for d := range 200 {
		dir := fmt.Sprintf("/d%03d", d)
		if err := os.Mkdir(tree+dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for f := range 100 {
			path := fmt.Sprintf("%s/f%03d", dir, f)
			if err := os.WriteFile(tree+path, nil, 0o644); err != nil {
				b.Fatal(err)
			}
			files[path] = []content.Attribute{{Name: "security.selinux", Value: []byte("system_u:object_r:usr_t:s0\x00")}}
			if f%10 == 0 {
				files[path] = append(files[path], content.Attribute{Name: "system.posix_acl_access", Value: aclFor(uint32(d))})
			}
		}
	}
	for b.Loop() {
		b.StopTimer()
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			b.Fatal(err)
		}
		if out, err := exec.Command(mke2fs, "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-E", "no_copy_xattrs", "-d", tree, name, "800m").CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := writeAttributes(f, 0, Root{Mode: 0o755}, files); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

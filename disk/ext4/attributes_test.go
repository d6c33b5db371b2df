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
	"github.com/osbuildkit/osbuildkit/disk/internal/fstest"
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
	debugfs := program(t, "debugfs")
	label := []byte("system_u:object_r:etc_t:s0\x00")
	attributes := map[string][]content.Attribute{
		"/":               {{Name: "security.selinux", Value: label}},
		"/etc":            {{Name: "security.selinux", Value: label}, {Name: content.DefaultACL, Value: acl(1, 7, none, 4, 5, none, 0x20, 0, none)}},
		"/etc/hardlink":   {{Name: "user.note", Value: []byte("n")}, {Name: "user.empty", Value: nil}},
		"/link":           {{Name: "security.selinux", Value: label}},
		"/usr/share/f000": {{Name: "security.selinux", Value: label}, {Name: content.AccessACL, Value: aclFor(33)}, {Name: "trusted.x", Value: []byte{0, 255}}},
		"/usr/share/f001": {{Name: "user.big", Value: bytes.Repeat([]byte("b"), xaRoom-xaEntrySize-padded(len("big")))}},
		"/usr/share/f003": {{Name: content.AccessACL, Value: acl(1, 6, none, 4, 4, none, 0x20, 0, none)}},
	}
	// More users of one block than it may have.
	for i := 10; i < 300; i++ {
		attributes[fmt.Sprintf("/usr/share/f%03d", i)] = []content.Attribute{{Name: "user.same", Value: bytes.Repeat([]byte("s"), 200)}}
	}
	part, _ := fstest.Make(t, sampleTree(t), attributes, testSize, Make)
	fsck(t, part)
	for path, list := range attributes {
		if path > "/usr/share/f010" && path < "/usr/share/f298" {
			continue
		}
		for _, a := range list {
			want, is := a.Value, true
			if strings.HasPrefix(a.Name, "system.") {
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
	out, err := exec.Command(debugfs, "-R", "stat /usr/share/f200", part).Output()
	if err != nil || !strings.Contains(string(out), "Blockcount: 24") || strings.Contains(string(out), "File ACL: 0\n") {
		t.Errorf("stat: %v: %s", err, out)
	}
}

// TestManyAttributes has more files with one block of attributes than may share
// it, and ones that have a block each.
func TestManyAttributes(t *testing.T) {
	t.Parallel()
	tree, attributes := t.TempDir(), map[string][]content.Attribute{}
	for i := range 2*xaMaxShares + 100 {
		name := fmt.Sprintf("f%05d", i)
		if err := os.WriteFile(filepath.Join(tree, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		value := bytes.Repeat([]byte("same"), 100)
		if i%20 == 0 {
			value = bytes.Repeat([]byte(name), 100)
		}
		attributes["/"+name] = []content.Attribute{{Name: "user.a", Value: value}}
	}
	part, _ := fstest.Make(t, tree, attributes, testSize, Make)
	fsck(t, part)
	for _, name := range []string{"/f00000", "/f00001", "/f01700", "/f02147"} {
		if got, _ := attribute(t, part, name, "user.a"); !bytes.Equal(got, attributes[name][0].Value) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAttributesDoNotFit(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("v"), 2500)
	tree := sampleTree(t)
	for _, tt := range []struct {
		list []content.Attribute
		want string
	}{
		{[]content.Attribute{{Name: "user.a", Value: big}, {Name: "user.b", Value: big}}, `"/usr/share/f000": the extended attributes take `},
		{[]content.Attribute{{Name: "system.data", Value: nil}}, `"/usr/share/f000": system.data: ext4 has no such attribute`},
		{[]content.Attribute{{Name: "user.", Value: nil}}, `ext4 has no such attribute`},
		{[]content.Attribute{{Name: content.DefaultACL, Value: aclFor(1)}}, "only a directory"},
		{[]content.Attribute{{Name: content.AccessACL, Value: []byte("x")}}, "not a valid access control list"},
	} {
		if _, err := try(t, tree, map[string][]content.Attribute{"/usr/share/f000": tt.list}, testSize, ""); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want %q", tt.list[0].Name, err, tt.want)
		}
	}
	full, attributes := t.TempDir(), map[string][]content.Attribute{}
	for i := range 3000 {
		name := fmt.Sprintf("f%04d", i)
		if err := os.WriteFile(filepath.Join(full, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		attributes["/"+name] = []content.Attribute{{Name: "user.a", Value: append(slices.Clone(big), name...)}}
	}
	var small *content.TooSmallError
	if _, err := try(t, full, attributes, MinSize, ""); !errors.As(err, &small) || small.Needed <= MinSize {
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

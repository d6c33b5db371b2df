// Package fstest tests writers of file systems: a tree with all that is
// difficult about trees, and a look at the file system that was made of it,
// entry for entry, through the kernel where it lets us mount one.
package fstest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Epoch is the time of the build.
const Epoch = 1700000000

// Offset is where Make puts the file system.
const Offset = 1 << 20

// UUID is the identifier that Make gives.
var UUID = disk.Namespace.Derive("fstest")

// Tree makes a tree.
func Tree(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string, data []byte) {
		t.Helper()
		p := filepath.Join(dir, name)
		must(os.MkdirAll(filepath.Dir(p), 0o755))
		must(os.WriteFile(p, data, 0o640))
	}
	// Directories of all forms: some names, a block, a leaf, many leaves.
	for name, n := range map[string]int{"short": 5, "block": 60, "leaf": 300, "node": 3000, "empty": 0} {
		must(os.MkdirAll(filepath.Join(dir, name), 0o755))
		for i := range n {
			write(fmt.Sprintf("%s/a name with number %d", name, i), bytes.Repeat([]byte{byte(i)}, i%50))
		}
	}
	random := make([]byte, 3<<20)
	for i := range random {
		random[i] = byte(i*i>>7 ^ i)
	}
	write("data/large", random)
	write("data/"+strings.Repeat("ü", 127), []byte("long name"))
	sparse := make([]byte, 5<<20)
	copy(sparse[1<<20:], "in the middle")
	copy(sparse[len(sparse)-3:], "end")
	write("data/sparse", sparse)
	holes := make([]byte, 6<<20)
	for i := 0; i < len(holes); i += 128 << 10 {
		holes[i] = 1
	}
	write("data/holes", holes)
	write("data/zeros", make([]byte, 1<<20+7))
	must(os.Link(filepath.Join(dir, "data/large"), filepath.Join(dir, "short/hard")))
	for _, n := range []int{1, 100, 300, 1000} {
		must(os.Symlink(strings.Repeat("l", n), filepath.Join(dir, fmt.Sprintf("link%d", n))))
	}
	must(unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	if os.Getuid() == 0 {
		must(unix.Mknod(filepath.Join(dir, "device"), unix.S_IFCHR|0o620, int(unix.Mkdev(5, 300))))
		must(os.Lchown(filepath.Join(dir, "data/large"), 1000, 70000))
	}
	must(os.Chmod(filepath.Join(dir, "short"), 0o2751))
	must(os.Chmod(filepath.Join(dir, "data/large"), 0o4755))
	must(os.Chtimes(filepath.Join(dir, "data/large"), time.Unix(5, 0), time.Unix(1234567890, 123456789)))
	return dir
}

func acl(entries ...content.ACLEntry) []byte { return content.EncodeACL(entries) }

// Attributes are attributes for the files of Tree. Links have none but a label.
func Attributes() map[string][]content.Attribute {
	const none = ^uint32(0)
	label := content.Attribute{Name: "security.selinux", Value: []byte("system_u:object_r:etc_t:s0\x00")}
	list := acl(content.ACLEntry{Tag: 1, Perm: 6, ID: none}, content.ACLEntry{Tag: 2, Perm: 4, ID: 33}, content.ACLEntry{Tag: 4, Perm: 4, ID: none}, content.ACLEntry{Tag: 0x10, Perm: 4, ID: none}, content.ACLEntry{Tag: 0x20, ID: none})
	defaults := acl(content.ACLEntry{Tag: 1, Perm: 7, ID: none}, content.ACLEntry{Tag: 4, Perm: 5, ID: none}, content.ACLEntry{Tag: 0x20, ID: none})
	caps := []byte("\x01\x00\x00\x03\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04")
	out := map[string][]content.Attribute{
		"/":            {label},
		"/short":       {label, {Name: content.DefaultACL, Value: defaults}},
		"/block":       {label},
		"/leaf":        {label, {Name: "user.big", Value: bytes.Repeat([]byte("b"), 700)}},
		"/link300":     {label},
		"/link1":       {label},
		"/data/large":  {label, {Name: content.Capability, Value: caps}, {Name: "trusted.x", Value: []byte{0, 255}}},
		"/data/holes":  {label, {Name: content.AccessACL, Value: list}},
		"/data/sparse": {{Name: "user.empty"}, {Name: "user.three hundred", Value: bytes.Repeat([]byte("c"), 300)}},
		"/pipe":        {label},
		"/device":      {label},
		"/gone":        {label},
	}
	for i := range 300 {
		out[fmt.Sprintf("/node/a name with number %d", i)] = []content.Attribute{label, {Name: "user.number", Value: fmt.Append(nil, i)}}
	}
	return out
}

// Maker is the function of a writer.
type Maker func(context.Context, *content.Tree, content.Target) ([]string, error)

// Make makes a file system of a tree at Offset of a new file and returns the
// name of a file with the file system alone.
func Make(t testing.TB, tree string, attributes map[string][]content.Attribute, size int64, make Maker) (string, *content.Tree) {
	t.Helper()
	c, err := content.Load(t.Context(), content.Options{Tree: tree, Epoch: Epoch, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(Offset + size + 1000); err != nil {
		t.Fatal(err)
	}
	once := &once{f: f}
	if _, err := make(t.Context(), c, content.Target{Disk: once, Offset: Offset, Size: size + 1000, UUID: UUID, Label: "a label", Epoch: Epoch}); err != nil {
		t.Fatal(err)
	}
	once.check(t)
	part := filepath.Join(t.TempDir(), "part")
	copyPart(t, f, part, size)
	if err := os.Truncate(part, size); err != nil {
		t.Fatal(err)
	}
	return part, c
}

// once is a disk that notes what is written.
type once struct {
	f    *os.File
	runs []run
}

type run struct{ start, end int64 }

func (o *once) WriteAt(b []byte, at int64) (int, error) {
	o.runs = append(o.runs, run{at, at + int64(len(b))})
	return o.f.WriteAt(b, at)
}

// check finds bytes that were written twice, which content.Target forbids.
func (o *once) check(t testing.TB) {
	t.Helper()
	slices.SortFunc(o.runs, func(a, b run) int { return cmp.Compare(a.start, b.start) })
	for i := 1; i < len(o.runs); i++ {
		if a, b := o.runs[i-1], o.runs[i]; b.start < a.end {
			t.Fatalf("the bytes from %d to %d are written twice", b.start-Offset, min(a.end, b.end)-Offset)
		}
	}
}

// copyPart copies the file system without its holes.
func copyPart(t testing.TB, f *os.File, part string, size int64) {
	t.Helper()
	out, err := os.Create(part)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for at := int64(Offset); ; {
		start, end, err := sparse.File{File: f}.Next(at)
		if start >= Offset+size || errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		at = min(end, Offset+size)
		if _, err := io.Copy(io.NewOffsetWriter(out, start-Offset), io.NewSectionReader(f, start, at-start)); err != nil {
			t.Fatal(err)
		}
	}
}

// Sum returns the SHA-256 of a file.
func Sum(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// RoundTrip makes a file system of the given kind and size in bytes out of Tree,
// twice: the bytes are the same, check finds nothing wrong, each entry is what it
// was in the tree, and the file system can be written to.
func RoundTrip(t *testing.T, kind string, size int64, make Maker, check func(t *testing.T, part string)) {
	t.Helper()
	tree := Tree(t)
	part, c := Make(t, tree, Attributes(), size, make)
	check(t, part)
	again, _ := Make(t, tree, Attributes(), size, make)
	if Sum(t, part) != Sum(t, again) {
		t.Error("the same content gives other bytes")
	}
	Compare(t, part, kind, tree, c)
	Use(t, part, kind)
	check(t, part)
}

// Compare mounts a file system and compares every entry with the content. It
// skips the rest of the test where nothing can be mounted.
func Compare(t *testing.T, part, kind string, tree string, c *content.Tree) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", kind, "-o", "loop,ro", part, dir).CombinedOutput(); err != nil {
		t.Skipf("a file system of type %s cannot be mounted here: %s", kind, out)
	}
	defer Unmount(t, part, dir)
	names := map[string]*content.File{}
	var collect func(at string, f *content.File)
	collect = func(at string, f *content.File) {
		names[at] = f
		for _, e := range f.Entries {
			collect(filepath.Join(at, e.Name), e.File)
		}
	}
	collect("/", c.Root)
	found := 0
	inodes := map[*content.File]uint64{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := filepath.Join("/", strings.TrimPrefix(p, dir))
		f := names[at]
		if f == nil && at == "/lost+found" && kind == "ext4" {
			return nil // which every ext4 has
		}
		if f == nil {
			t.Errorf("%s is in the file system and not in the tree", at)
			return nil
		}
		found++
		compareEntry(t, p, filepath.Join(tree, at), at, f, inodes)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if found != len(names) {
		t.Errorf("%d names are in the file system, and %d in the tree", found, len(names))
	}
}

func compareEntry(t *testing.T, p, source, at string, f *content.File, inodes map[*content.File]uint64) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		t.Error(err)
		return
	}
	got := fmt.Sprint(st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	want := fmt.Sprint(f.Mode, f.UID, f.GID, f.Time, 0)
	if f.Kind() == unix.S_IFDIR {
		// Some file systems count no directories.
		links := uint32(st.Nlink)
		if _, err := os.Lstat(filepath.Join(p, "lost+found")); at == "/" && err == nil {
			links--
		}
		if st.Nlink != 1 && links != f.Links {
			t.Errorf("%s has %d links, want %d", at, st.Nlink, f.Links)
		}
	} else {
		got, want = fmt.Sprint(got, st.Nlink), fmt.Sprint(want, f.Links)
	}
	if f.Kind() == unix.S_IFCHR {
		got, want = fmt.Sprint(got, st.Rdev), fmt.Sprint(want, unix.Mkdev(f.Major, f.Minor))
	}
	if got != want {
		t.Errorf("%s is %s, want %s", at, got, want)
	}
	if n, ok := inodes[f]; ok && n != st.Ino {
		t.Errorf("%s is not the same file as its other name", at)
	}
	inodes[f] = st.Ino
	switch f.Kind() {
	case unix.S_IFREG:
		if st.Size != f.Size || Sum(t, p) != Sum(t, source) {
			t.Errorf("%s has other data, %d bytes", at, st.Size)
		}
	case unix.S_IFLNK:
		if text, err := os.Readlink(p); err != nil || text != f.Link {
			t.Errorf("%s leads to %q (%v)", at, text, err)
		}
	}
	values := map[string]string{}
	for _, a := range f.Attributes {
		values[a.Name] = string(a.Value)
	}
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(p, buf)
	if err != nil {
		t.Errorf("%s: %v", at, err)
		return
	}
	read := map[string]string{}
	for _, name := range strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 }) {
		if strings.HasPrefix(name, "trusted.SGI_ACL_") {
			continue // how XFS shows the lists a second time
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(p, name, value)
		if err != nil {
			t.Errorf("%s: %s: %v", at, name, err)
			continue
		}
		read[name] = string(value[:n])
	}
	if !maps.Equal(read, values) {
		t.Errorf("%s has the attributes %q, want %q", at, slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(values)))
	}
}

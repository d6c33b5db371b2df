package btrfs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/fstest"
)

// linked makes a tree in which a file has many names in two directories, and
// some in others.
func linked(t *testing.T, n int) string {
	t.Helper()
	tree := t.TempDir()
	for _, dir := range []string{"a", "b", "c"} {
		if err := os.Mkdir(filepath.Join(tree, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(tree, "file")
	if err := os.WriteFile(file, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := func(format string, args ...any) {
		if err := os.Link(file, filepath.Join(tree, fmt.Sprintf(format, args...))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		link("a/a name of the file with the number %d", i)
		link("b/%d", i)
	}
	link("c/%s", strings.Repeat("long", 60))
	return tree
}

// A file with more names in a directory than one item has room for.
func TestManyNames(t *testing.T) {
	t.Parallel()
	tree := linked(t, 3000)
	part, c := fstest.Make(t, tree, nil, 200<<20, Make)
	check(t, part)
	fstest.Compare(t, part, "btrfs", tree, c)
	data, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	if flags := le.Uint64(data[64<<10+188:]); flags&0x40 == 0 {
		t.Errorf("the features %#x have no long references", flags)
	}
}

// The kernel finds names in long references: it takes them away, and adds
// others.
func TestManyNamesAreTheKernels(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	part, _ := fstest.Make(t, linked(t, 1500), nil, 200<<20, Make)
	at := t.TempDir()
	if out, err := exec.Command("mount", "-t", "btrfs", "-o", "loop", part, at).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	mounted := true
	unmount := func() {
		if mounted {
			fstest.Unmount(t, part, at)
			mounted = false
		}
	}
	defer unmount()
	for i := range 1500 {
		if i%3 == 0 {
			continue
		}
		for _, name := range []string{fmt.Sprintf("a/a name of the file with the number %d", i), fmt.Sprintf("b/%d", i)} {
			if err := os.Remove(filepath.Join(at, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 1000 {
		if err := os.Link(filepath.Join(at, "file"), filepath.Join(at, fmt.Sprintf("a/another name %d", i))); err != nil {
			t.Fatal(err)
		}
	}
	unmount()
	check(t, part)
}

// colliding returns names with one hash.
func colliding(n int) []string {
	var reverse [256]byte // by the last byte of the table's entry
	for i, e := range castagnoli {
		reverse[e>>24] = byte(i)
	}
	const target = 0x12345678
	var out []string
	for i := 0; len(out) < n; i++ {
		prefix := fmt.Sprintf("%08d", i)
		// The register before the last four bytes, and the entries of the table
		// that lead from it to the target.
		reg, want := hashName(prefix), uint32(target)
		var index [4]byte
		for j := 3; j >= 0; j-- {
			index[j] = reverse[want>>24]
			want = (want ^ castagnoli[index[j]]) << 8
		}
		name := []byte(prefix)
		for j := range 4 {
			name = append(name, byte(reg)^index[j])
			reg = reg>>8 ^ castagnoli[index[j]]
		}
		if bytes.ContainsAny(name[8:], "\x00/") {
			continue
		}
		out = append(out, string(name))
	}
	return out
}

// Names that were made to have one hash do not break a leaf.
func TestCollidingNames(t *testing.T) {
	t.Parallel()
	for n, fits := range map[int]bool{300: true, 500: false} {
		tree := t.TempDir()
		for _, name := range colliding(n) {
			if hashName(name) != 0x12345678 {
				t.Fatalf("%q has the hash %x", name, hashName(name))
			}
			if err := os.WriteFile(filepath.Join(tree, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if fits {
			part, _ := fstest.Make(t, tree, nil, 200<<20, Make)
			check(t, part)
			continue
		}
		c, err := content.Load(t.Context(), content.Options{Tree: tree, Epoch: fstest.Epoch})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := Make(context.Background(), c, content.Target{Disk: f, Size: 200 << 20, UUID: fstest.UUID}); err == nil || !strings.Contains(err.Error(), "too many names with the hash") {
			t.Errorf("%d names: %v", n, err)
		}
	}
}

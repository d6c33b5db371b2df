package inspect_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/image"
	"github.com/osbuildkit/osbuildkit/disk/inspect"
	"github.com/osbuildkit/osbuildkit/disk/limit"
)

const (
	dataID  = "76a22bf4-f153-4541-b6c7-0332c0dfaeac"
	otherID = "6f0e0d3c-0000-4a4a-8b8b-000000000002"
	mib     = 1 << 20
)

// ext4 makes a file system of 2 MiB with the given files.
func ext4(t *testing.T, id string, files map[string]string) []byte {
	t.Helper()
	if _, err := exec.LookPath("mke2fs"); err != nil {
		t.Skip("mke2fs is not installed")
	}
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	for name, text := range files {
		full := filepath.Join(tree, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "fs")
	if text, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", "-U", id, "-d", tree, out, "2M").CombinedOutput(); err != nil {
		t.Fatalf("%s", text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// xfs is a superblock that says no more than which file system it is.
func xfs() []byte {
	b := make([]byte, 2*mib)
	copy(b, "XFSB")
	copy(b[32:], "\x6f\x0e\x0d\x3c\x00\x00\x4a\x4a\x8b\x8b\x00\x00\x00\x00\x00\x02")
	return b
}

// mounts returns the mount points of a disk with these partitions.
func mounts(t *testing.T, b *limit.Budget, partitions ...[]byte) (points []string, err error) {
	t.Helper()
	d := make([]byte, (len(partitions)*2+2)*mib)
	d[510], d[511] = 0x55, 0xaa
	for i, p := range partitions {
		at := (2*i + 1) * mib
		copy(d[at:], p)
		e := d[446+16*i:]
		e[4] = 0x83
		binary.LittleEndian.PutUint32(e[8:], uint32(at/512))
		binary.LittleEndian.PutUint32(e[12:], 2*mib/512)
	}
	disk, err := inspect.Open(b, memory{bytes.NewReader(d)}, int64(len(d)))
	if err != nil {
		return nil, err
	}
	for _, v := range disk.Volumes {
		points = append(points, v.Mountpoint)
	}
	return points, nil
}

// TestMountpoints does not take a partition for the root that is none.
func TestMountpoints(t *testing.T) {
	t.Parallel()
	const own, other = "UUID=" + dataID, "UUID=" + otherID
	fstab := func(lines ...string) map[string]string {
		return map[string]string{"etc/fstab": strings.Join(lines, "\n") + "\n"}
	}
	for name, c := range map[string]struct {
		partitions [][]byte
		want       string
	}{
		"one that is not read is the root":        {[][]byte{xfs(), ext4(t, dataID, map[string]string{"data": "x"})}, ","},
		"and the table of mounts is elsewhere":    {[][]byte{xfs(), ext4(t, dataID, fstab(other+" / xfs defaults 0 0", own+" /srv ext4 defaults 0 0"))}, "/,/srv"},
		"a system below /srv comes first":         {[][]byte{ext4(t, dataID, map[string]string{"etc/os-release": "ID=x\n"}), ext4(t, otherID, fstab(other+" / ext4 defaults 0 0", own+" /srv ext4 defaults 0 0"))}, "/srv,/"},
		"a table that does not know its root":     {[][]byte{ext4(t, dataID, fstab("/dev/vda1 / ext4 defaults 0 0")), xfs()}, "/,"},
		"one that says nothing but that it is it": {[][]byte{ext4(t, dataID, map[string]string{"sbin/init": "x"}), xfs()}, "/,"},
		"a root that is not found":                {[][]byte{ext4(t, dataID, fstab("/dev/mapper/vg-root / ext4 defaults 0 0", own+" /srv ext4 defaults 0 0")), xfs()}, "/srv,"},
		"a root that another table tells from it": {[][]byte{ext4(t, dataID, map[string]string{"etc/os-release": "ID=x\n"}), ext4(t, otherID, fstab("/dev/vda2 / ext4 defaults 0 0", own+" /srv ext4 defaults 0 0"))}, "/srv,/"},
		"two that have each other elsewhere":      {[][]byte{ext4(t, dataID, fstab(other+" /srv ext4 defaults 0 0")), ext4(t, otherID, fstab(own+" /srv ext4 defaults 0 0"))}, "/,/srv"},
	} {
		got, err := mounts(t, nil, c.partitions...)
		if err != nil || strings.Join(got, ",") != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
}

// TestOpenEnds ends with its context.
func TestOpenEnds(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := mounts(t, limit.New(ctx, 0), xfs()); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
	m := &image.Image{Source: memory{bytes.NewReader(xfs())}, Format: image.Raw, Size: 2 * mib, Budget: limit.New(ctx, 0)}
	if _, err := inspect.Describe(m); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

package lvm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

func group() *Group {
	return &Group{
		Name: "system", ID: disk.UUID{1, 2}, Size: 300<<20 + 512, Time: 1700000000,
		Volumes: []Volume{{"root", 40}, {"var-log", 3}, {"swap", 10}},
	}
}

func write(t *testing.T, g *Group) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pv")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(g.Size); err != nil {
		t.Fatal(err)
	}
	if err := g.Write(f); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestPVCK lets pvck look at a physical volume, which it does with a plain file
// and without privilege.
func TestPVCK(t *testing.T) {
	t.Parallel()
	program, err := tool.Find("lvm2", "pvck")
	if err != nil {
		t.Skip(err)
	}
	g := group()
	name := write(t, g)
	run := func(args ...string) string {
		t.Helper()
		out, err := tool.Run(t.Context(), nil, program, append([]string{"--nolocking"}, args...)...)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return out
	}
	dump := run("--dump", "headers", name)
	for _, bad := range []string{"CHECK:", "WARNING", "rror"} {
		if strings.Contains(dump, bad) {
			t.Errorf("pvck says %q: %s", bad, dump)
		}
	}
	for _, want := range []string{"label_header.crc", g.id("physical volume"), "device_size 314573312", "metadata text at 4608", "vgname system seqno 1"} {
		if !strings.Contains(dump, want) {
			t.Errorf("%q is not in %s", want, dump)
		}
	}
	if text := run("--dump", "metadata", name); !strings.Contains(text, g.text()) || strings.Contains(text, "CHECK") {
		t.Errorf("pvck finds other metadata: %s", text)
	}
}

// TestReport lets lvs and vgck look at a loop device; nothing is activated.
func TestReport(t *testing.T) {
	t.Parallel()
	lvs, err := tool.Find("lvm2", "lvs")
	if err != nil {
		t.Skip(err)
	}
	if os.Getuid() != 0 {
		t.Skip("LVM reads devices only, and only root can make one of a file")
	}
	g := group()
	name := write(t, g)
	out, err := tool.Run(t.Context(), nil, "/sbin/losetup", "--find", "--show", "--read-only", name)
	if err != nil {
		t.Skip(err)
	}
	loop := strings.TrimSpace(out)
	defer tool.Run(t.Context(), nil, "/sbin/losetup", "--detach", loop)
	config := "devices { filter=[\"a|" + loop + "|\",\"r|.*|\"] global_filter=[\"a|" + loop + "|\",\"r|.*|\"] use_devicesfile=0 obtain_device_list_from_udev=0 } global { use_lvmpolld=0 locking_type=4 metadata_read_only=1 }"
	out, err = tool.Run(t.Context(), nil, lvs, "--config", config, "--readonly", "--noheadings", "--units", "m", "-o", "vg_name,lv_name,lv_size,seg_start_pe,vg_free", "--separator", " ")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"system root 160.00m 0 84.00m", "system var-log 12.00m 0", "system swap 40.00m 0"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in what lvs says: %s", want, out)
		}
	}
	check := filepath.Join(filepath.Dir(lvs), "vgck")
	if out, err := tool.Run(t.Context(), nil, check, "--config", config, "system"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestProbe reads back what is needed to name a physical volume.
func TestProbe(t *testing.T) {
	t.Parallel()
	g := group()
	f, err := os.Open(write(t, g))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := fsread.Probe(f, g.Size)
	if err != nil || info.Type != "LVM2_member" || info.Label != "system" || info.UUID != dashed(g.id("physical volume")) {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestSameBytes(t *testing.T) {
	t.Parallel()
	read := func(g *Group) []byte {
		t.Helper()
		data, err := os.ReadFile(write(t, g))
		if err != nil {
			t.Fatal(err)
		}
		return data[:DataStart]
	}
	other := group()
	other.ID[5]++
	if !bytes.Equal(read(group()), read(group())) || bytes.Equal(read(group()), read(other)) {
		t.Error("the metadata does not follow from the group alone")
	}
	g := group()
	if at := []int64{g.Offset(0), g.Offset(1), g.Offset(2)}; fmt.Sprint(at) != fmt.Sprint([]int64{1 << 20, 161 << 20, 173 << 20}) {
		t.Error(at)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		change func(g *Group)
		want   string
	}{
		{func(g *Group) { g.Name = "-a" }, "no - at the start"},
		{func(g *Group) { g.Name = "a b" }, "not a name of LVM"},
		{func(g *Group) { g.Name = ".." }, "not a name of LVM"},
		{func(g *Group) { g.Name = "a\n}" }, "not a name of LVM"},
		{func(g *Group) { g.Name = strings.Repeat("n", 127) }, "longer than 126"},
		{func(g *Group) { g.Name = strings.Repeat("n", 105) }, "together"},
		{func(g *Group) { g.Volumes[1].Name = "root" }, `two volumes "root"`},
		{func(g *Group) { g.Volumes[1].Name = "a_tmeta" }, "keeps the name"},
		{func(g *Group) { g.Volumes[1].Extents = 0 }, "has no extents"},
		{func(g *Group) { g.Volumes[1].Extents = 25 }, "need 75 extents of 4 MiB, and the physical volume has 74"},
		{func(g *Group) { g.Volumes[1].Extents = 1 << 62 }, "and the physical volume has 74"},
		{func(g *Group) { g.Size = 0 }, "and the physical volume has 0"},
	} {
		g := group()
		tc.change(g)
		if err := g.Write(nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

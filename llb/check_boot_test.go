package llb

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// A disk whose GRUB would find nothing is refused before its tree is built.
func TestCheckBoot(t *testing.T) {
	t.Parallel()
	const (
		boot   = `{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}}`
		grub   = `{"name": "org.osbuild.grub2", "options": {"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}}`
		script = `{"name": "org.osbuild.script", "options": {"script": "update-grub"}}`
		erofs  = `{"filesystem": {"type": "erofs", "mountpoint": "/"}}`
		ext4   = `{"filesystem": {"type": "ext4", "mountpoint": "/"}}`
		apart  = `{"size": 204800, "filesystem": {"type": "ext4", "mountpoint": "/boot"}}`
		volume = `{"lvm": {"name": "vg", "volumes": [{"name": "a", "size": 204800, "filesystem": {"type": "ext4", "mountpoint": "/var"}}, {"name": "b", "filesystem": {"type": "erofs", "mountpoint": "/"}}]}}`
		loader = `, "bootloader": {"type": "grub2", "platform": "i386-pc"}`
		reads  = "GRUB reads no erofs, and this file system holds /boot: put /boot on a file system of its own (ext4, xfs, btrfs), or set \"bootloader\" to \"uki\" or \"systemd-boot\""
		no     = "/assembler/options/bootloader GRUB finds nothing to boot: no stage writes its configuration; add the stage org.osbuild.grub2 to the tree"
	)
	apt := func(name string) string {
		return `{"name": "org.osbuildkit.apt", "options": {"packages": ["linux-image-amd64", "` + name + `"]}}`
	}
	for name, c := range map[string]struct {
		stages, partitions, more string
		want                     []string
	}{
		"it reads":                     {boot + "," + grub, ext4, "", nil},
		"erofs":                        {boot + "," + grub, erofs, "", []string{"/assembler/options/partitions/0/filesystem/type " + reads}},
		"erofs and a place of its own": {boot + "," + grub, apart + "," + erofs, "", nil},
		"erofs on a volume":            {boot + "," + grub, volume, "", []string{"/assembler/options/partitions/0/lvm/volumes/1/filesystem/type " + reads}},
		"data":                         {boot, erofs, "", nil},
		"another loader":               {boot + "," + grub, erofs, `, "pttype": "gpt"`, nil},
		"asked for":                    {boot + "," + grub, ext4, loader, nil},
		"asked for, erofs":             {boot + "," + script, erofs, loader, []string{"/assembler/options/partitions/0/filesystem/type " + reads}},
		"no configuration":             {boot + "," + apt("systemd-sysv"), ext4, loader, []string{no}},
		"the distribution's own":       {boot + "," + apt("grub-pc"), ext4, loader, nil},
		"a script":                     {boot + "," + script, ext4, loader, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := `{"stages": [` + c.stages + `], "assembler": {"name": "org.osbuild.qemu", "options": {"format": "raw", "filename": "a.raw", "size": 4294967296, ` +
				`"partitions": [` + c.partitions + `]` + c.more + `}}}`
			m, err := manifest.Load("image.json", []byte(text), catalog.Builtin())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range Check(m, nil) {
				got = append(got, fmt.Sprintf("%s %s", e.Pointer, e.Message))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("%s\n%s", strings.TrimSpace(text), d)
			}
		})
	}
}

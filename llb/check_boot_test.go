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
		dnf    = `{"name": "org.osbuild.dnf", "options": {"releasever": "9", "packages": ["kernel"], "repos": [{"baseurl": "https://a.example/20260101/", "gpgcheck": false, "checksum": "sha256:9f596e18f585bee30ac41c11fb11a83ed6b11d5b341c1cb56ca4015d7717cb97"}]}}`
		esp    = `{"size": 204800, "filesystem": {"type": "vfat", "mountpoint": "/boot/efi"}}`
		typed  = `{"size": 204800, "type": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "filesystem": {"type": "vfat", "mountpoint": "/esp"}}`
		data   = `{"size": 204800, "type": "linux", "filesystem": {"type": "vfat", "mountpoint": "/boot/efi"}}`
		erofs  = `{"filesystem": {"type": "erofs", "mountpoint": "/"}}`
		ext4   = `{"filesystem": {"type": "ext4", "mountpoint": "/"}}`
		apart  = `{"size": 204800, "filesystem": {"type": "ext4", "mountpoint": "/boot"}}`
		volume = `{"lvm": {"name": "vg", "volumes": [{"name": "a", "size": 204800, "filesystem": {"type": "ext4", "mountpoint": "/var"}}, {"name": "b", "filesystem": {"type": "erofs", "mountpoint": "/"}}]}}`
		loader = `, "bootloader": {"type": "grub2", "platform": "i386-pc"}`
		reads  = "GRUB reads no erofs, and this file system holds /boot: put /boot on a file system of its own (ext4, xfs, btrfs), or set \"bootloader\" to \"uki\" or \"systemd-boot\""
		no     = "/assembler/options/bootloader GRUB finds nothing to boot: no stage writes its configuration; add the stage org.osbuild.grub2 to the tree"
	)
	const firmware = "/assembler/options/pttype no firmware starts this disk: the stage org.osbuild.grub2 writes a configuration of GRUB, and a GPT gets no boot loader by itself; " +
		"add \"bootloader\": {\"type\": \"grub2\"} with the partition that its platform wants, or make the partition table a DOS one"
	place := func(mountpoint, kind string) string {
		return `{"size": 204800, "filesystem": {"type": "` + kind + `", "mountpoint": "` + mountpoint + `"}}`
	}
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
		"another loader":               {boot + "," + grub, esp + "," + erofs, `, "pttype": "gpt"`, nil},
		"another loader, by its type":  {boot + "," + grub, typed + "," + erofs, `, "pttype": "gpt"`, nil},
		"no firmware":                  {boot + "," + grub, ext4, `, "pttype": "gpt"`, []string{firmware}},
		"a FAT of another type":        {script + "," + grub, data + "," + ext4, `, "pttype": "gpt"`, []string{firmware}},
		"data with a GPT":              {boot, ext4, `, "pttype": "gpt"`, nil},
		"Debian's place":               {boot + "," + grub, place("/boot/grub", "erofs") + "," + ext4, "", []string{"/assembler/options/partitions/0/filesystem/type " + reads}},
		"the place of others":          {boot + "," + grub, place("/boot/grub2", "erofs") + "," + ext4, "", nil},
		"Debian's place, readable":     {boot + "," + grub, place("/boot/grub", "ext4") + "," + erofs, "", nil},
		"a place of RPM":               {dnf + "," + grub, place("/boot/grub2", "erofs") + "," + ext4, "", []string{"/assembler/options/partitions/0/filesystem/type " + reads}},
		"a system that is not known":   {script + "," + grub, place("/boot/grub", "erofs") + "," + ext4, "", nil},
		"not known, and all erofs":     {script + "," + grub, erofs, "", []string{"/assembler/options/partitions/0/filesystem/type " + reads}},
		"a script chooses the place":   {boot + "," + script, place("/boot/grub2", "ext4") + "," + erofs, loader, nil},
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

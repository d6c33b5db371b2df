package grubdir

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/tree"
)

func TestOf(t *testing.T) {
	t.Parallel()
	file := treetest.File
	for name, c := range map[string]struct {
		tree treetest.Tree
		want string
	}{
		"nothing":            {nil, Renamed},
		"Debian":             {treetest.Tree{"etc/os-release": file("ID=debian\n")}, Plain},
		"a child of Ubuntu":  {treetest.Tree{"usr/lib/os-release": file("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n")}, Plain},
		"Arch by its link":   {treetest.Tree{"usr/lib/os-release": file("ID=arch\n"), "etc/os-release": treetest.Link("../usr/lib/os-release")}, Plain},
		"Fedora":             {treetest.Tree{"etc/os-release": file("ID=fedora\n")}, Renamed},
		"a child of RHEL":    {treetest.Tree{"etc/os-release": file("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n")}, Renamed},
		"Tumbleweed":         {treetest.Tree{"etc/os-release": file("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n")}, Renamed},
		"an unknown system":  {treetest.Tree{"etc/os-release": file("ID=mine\n")}, Renamed},
		"unknown, with dpkg": {treetest.Tree{"etc/os-release": file("ID=mine\n"), "var/lib/dpkg/status": file("Package: x\n")}, Plain},
		"dpkg and no more":   {treetest.Tree{"var/lib/dpkg/status": file("")}, Renamed},
		"the tools":          {treetest.Tree{"usr/sbin/grub-mkconfig": file("")}, Plain},
		"tools in usr/bin":   {treetest.Tree{"usr/bin/grub-mkconfig": file(""), "usr/sbin": treetest.Link("bin")}, Plain},
		"renamed tools":      {treetest.Tree{"usr/sbin/grub2-mkconfig": file(""), "var/lib/dpkg/status": file("Package: x\n")}, Renamed},
		"both tools":         {treetest.Tree{"usr/sbin/grub2-mkconfig": file(""), "usr/sbin/grub-mkconfig": file(""), "etc/os-release": file("ID=debian\n")}, Plain},
		"a directory there":  {treetest.Tree{"etc/os-release": treetest.Dir(0o755)}, Renamed},
		"a link out of it":   {treetest.Tree{"etc/os-release": treetest.Link("../../../../../../srv/os-release")}, Renamed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := tree.Open(treetest.New(t, c.tree))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := Of(r); err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

package stages

import (
	"maps"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// What TestHostileTrees needs for the stages that set up a system with a few
// files each; hostile_test.go says what the three tables are.
func init() {
	maps.Copy(hostileOptions, map[string][]string{
		"org.osbuild.rhsm":              {`{"dnf-plugins": {"product-id": {"enabled": false}}, "subscription-manager": {"rhsm": {"manage_repos": false}}}`},
		"org.osbuild.ignition":          {`{"network": ["ip=dhcp"]}`, `{"target": "tree:///../../boot"}`},
		"org.osbuild.remove-uniqueness": {`{}`},
		"org.osbuild.sysconfig":         {`{"kernel": {"update_default": true}, "network-scripts": {"ifcfg": {"eth0": {"onboot": true}}}, "desktop": {"preferred": "gnome"}}`},
		"org.osbuild.first-boot":        {`{"commands": ["/bin/true"]}`},
		"org.osbuild.fix-bls":           {`{}`, `{"prefix": "", "require_boot_prefix": false}`},
		"org.osbuild.error":             {`{"returncode": 0}`},
		"org.osbuild.chrony":            {`{"timeservers": ["a"]}`},
		"org.osbuild.kernel-cmdline":    {`{"kernel_opts": "quiet"}`},
		"org.osbuild.keymap":            {`{"keymap": "de", "x11-keymap": {"layouts": ["de"]}}`},
		"org.osbuild.locale":            {`{"language": "C.UTF-8"}`},
		"org.osbuild.timezone":          {`{"zone": "Europe/Berlin"}`},
	})
	maps.Copy(hostileBase, map[string]treetest.Tree{
		"org.osbuild.rhsm":              {"etc/dnf/plugins/product-id.conf": treetest.File(""), "etc/rhsm/rhsm.conf": treetest.File("[rhsm]\n")},
		"org.osbuild.ignition":          {"boot/ignition.firstboot": treetest.File("")},
		"org.osbuild.remove-uniqueness": {"etc/machine-id": treetest.File(""), "var/lib/systemd/random-seed": treetest.File("x")},
		"org.osbuild.sysconfig":         {"etc/sysconfig/kernel": treetest.File("")},
		"org.osbuild.first-boot":        {"etc/osbuild-first-boot": treetest.File("")},
		"org.osbuild.fix-bls":           {"boot/loader/entries/a.conf": treetest.File("linux /t/boot/v\n")},
		"org.osbuild.error":             {"etc/x": treetest.File("x")},
		"org.osbuild.chrony":            {"etc/chrony.conf": treetest.File("pool x\n")},
		"org.osbuild.kernel-cmdline":    {"etc/kernel/cmdline": treetest.File("")},
		"org.osbuild.keymap":            {"etc/vconsole.conf": treetest.File("")},
		"org.osbuild.locale":            {"etc/locale.conf": treetest.File(""), "etc/default/locale": treetest.File("")},
		"org.osbuild.timezone": {
			"etc/localtime":                    treetest.Link("../usr/share/zoneinfo/UTC"),
			"usr/share/zoneinfo/Europe/Berlin": treetest.File("TZif"),
		},
	})
	maps.Copy(hostileExtra, map[string][]string{
		"org.osbuild.sysconfig": {"etc/sysconfig/desktop", "etc/sysconfig/network-scripts/ifcfg-eth0"},
		"org.osbuild.first-boot": {
			"usr/lib/systemd/system/osbuild-first-boot.service",
			"usr/lib/systemd/system/default.target.wants/osbuild-first-boot.service",
		},
		"org.osbuild.chrony": {"etc/chrony/chrony.conf"},
		"org.osbuild.keymap": {"etc/X11/xorg.conf.d/00-keyboard.conf"},
	})
}

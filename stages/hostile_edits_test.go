package stages

import (
	"maps"
	"testing"

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
		"org.osbuild.debug-shell":       {`{"tty": "/dev/tty9"}`},
		"org.osbuild.zipl":              {`{"timeout": 3}`},
		"org.osbuild.script":            {`{"script": "write /run/x 1"}`, `{"script": "write /etc/x 1", "network": true}`},
		"org.osbuild.firewall":          {`{"enabled_services": ["ssh"]}`},
		"org.osbuild.rpm-ostree":        {`{}`},
		"org.osbuild.ostree":            {`{"commit": "` + testCommit + `", "osname": "x", "mounts": [{"path": "/boot/efi", "mode": 448}], "populate_var": true}`},
		"org.osbuild.copy": {
			`{"source": {"type": "archive", "checksum": "` + sha256Of(copyArchive) + `"}}`,
			`{"source": {"type": "archive", "checksum": "` + sha256Of(copyArchive) + `"}, "paths": [{"from": "/etc", "to": "/srv/"}, {"from": "/lib/third", "to": "/srv/one"}]}`,
			`{"source": {"type": "context", "path": "0123"}, "paths": [{"to": "/etc/app.conf", "mode": "0600"}]}`,
			`{"source": {"type": "inline", "data": "x"}, "paths": [{"to": "/etc/app.conf"}, {"to": "/srv/deep/er/one"}]}`,
		},
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
	maps.Copy(hostileBase, map[string]treetest.Tree{
		"org.osbuild.debug-shell": {"etc/systemd/system/osbuild-debug-shell.service": treetest.File("")},
		"org.osbuild.zipl":        {"etc/zipl.conf": treetest.File("")},
		"org.osbuild.script": {
			"etc/resolv.conf": treetest.File("own"), "dev/osbuildkit/resolv.conf": treetest.File("builder's"),
		},
		"org.osbuild.firewall":   {"etc/firewalld": treetest.Dir(0o755), "var/log": treetest.Dir(0o755)},
		"org.osbuild.rpm-ostree": {"etc/machine-id": treetest.File("")},
		"org.osbuild.ostree":     {"boot/efi": treetest.Dir(0o755), "ostree/deploy/x/var/lib": treetest.Dir(0o755), "ostree/deploy/x/deploy/" + testCommit + ".0/var": treetest.Dir(0o755)},
		"org.osbuild.copy":       {"etc/app.conf": treetest.File("old"), "bin/app": treetest.File("old"), "current": treetest.Link("x"), "srv/one": treetest.File("1")},
	})
	for _, name := range []string{"org.osbuild.rpm-ostree", "org.osbuild.ostree"} {
		hostileTools[name] = map[string]string{"rpm-ostree": "", "ostree": "", "systemd-tmpfiles": ""}
	}
	hostileInputs["org.osbuild.copy"] = func(t *testing.T) map[string]string { return copyInput(t, copyArchive) }
	hostileInputs["org.osbuild.ostree"] = func(t *testing.T) map[string]string { return map[string]string{commitsInput: t.TempDir()} }
	maps.Copy(hostileExtra, map[string][]string{
		"org.osbuild.sysconfig": {"etc/sysconfig/desktop", "etc/sysconfig/network-scripts/ifcfg-eth0"},
		"org.osbuild.first-boot": {
			"usr/lib/systemd/system/osbuild-first-boot.service",
			"usr/lib/systemd/system/default.target.wants/osbuild-first-boot.service",
		},
		"org.osbuild.debug-shell": {"etc/systemd/system/sysinit.target.wants/osbuild-debug-shell.service"},
		"org.osbuild.script":      {"run/osbuild-script", "etc/hosts", "etc/.osbuildkit-kept-resolv.conf"},
		"org.osbuild.ostree":      {"ostree/deploy/x/var/log"},
		"org.osbuild.copy":        {"lib/again", "pipe", "srv/etc", "srv/etc/app.conf"},
		"org.osbuild.chrony":      {"etc/chrony/chrony.conf"},
		"org.osbuild.keymap":      {"etc/X11/xorg.conf.d/00-keyboard.conf"},
	})
}

package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestSysconfig(t *testing.T) {
	t.Parallel()
	const dir = "etc/sysconfig/"
	file := treetest.File
	runCases(t, "org.osbuild.sysconfig", []treeCase{
		{name: "kernel and network", options: `{"kernel": {"default_kernel": "kernel-core", "update_default": true},
			"network": {"networking": true, "no_zero_conf": false}}`, after: treetest.Tree{
			dir + "kernel":  file("UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel-core\n"),
			dir + "network": file("NETWORKING=yes\nNOZEROCONF=no\n")}},
		{name: "network scripts", options: `{"network-scripts": {"ifcfg": {
			"eth0": {"device": "eth0", "bootproto": "dhcp", "onboot": true, "type": "Ethernet", "userctl": true, "peerdns": true, "ipv6init": false},
			"eth0.1": {"type": "Vlan"}, "lo": {}}}}`, after: treetest.Tree{
			dir + "network-scripts/ifcfg-eth0": file("BOOTPROTO=\"dhcp\"\nDEVICE=\"eth0\"\nIPV6INIT=\"no\"\nONBOOT=\"yes\"\nPEERDNS=\"yes\"\n" +
				"TYPE=\"Ethernet\"\nUSERCTL=\"yes\"\n"),
			dir + "network-scripts/ifcfg-eth0.1": file("TYPE=\"Vlan\"\n")}},
		{name: "livesys and desktop", options: `{"livesys": {"session": "gnome"}, "desktop": {"preferred": "/usr/bin/startxfce4", "displaymanager": "lightdm"}}`,
			after: treetest.Tree{
				dir + "livesys": file("livesys_session=\"gnome\"\n"),
				dir + "desktop": file("PREFERRED=/usr/bin/startxfce4\nDISPLAYMANAGER=lightdm\n")}},
		{name: "existing", before: treetest.Tree{dir + "kernel": file("X=1\n").Perm(0o600), dir + "network": file("Y=1\n")},
			options: `{"kernel": {"update_default": false}, "network": {}}`, after: treetest.Tree{dir + "kernel": file("UPDATEDEFAULT=no\n").Perm(0o600)}},
		{name: "link", before: treetest.Tree{dir + "network": treetest.Link("../net"), "etc/net": file("Y=1\n")},
			options: `{"network": {"networking": false}}`, after: treetest.Tree{"etc/net": file("NETWORKING=no\n")}},
		{name: "nothing", before: treetest.Tree{"etc/x": file("")}, options: `{}`},
		{name: "in the way", before: treetest.Tree{dir + "network": treetest.Dir(0o755)},
			options: `{"kernel": {"update_default": true}, "network": {"networking": true}}`, err: "not a regular file"},
		{name: "bad", options: `{"network-scripts": {"ifcfg": {"../x": {"onboot": true}}}}`, err: "/network-scripts/ifcfg/..~1x"},
	})
}

func TestSysconfigCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.sysconfig", []checkCase{
		{`{}`, nil},
		{`{"kernel": {"default_kernel": "a b"}}`, []string{`/kernel/default_kernel: not " "`}},
		{`{"kernel": {"default_kernel": ""}}`, []string{`/kernel/default_kernel: empty`}},
		{`{"network-scripts": {"ifcfg": {"averyverylongname": {}, "a..b": {}, "..": {}}}}`,
			[]string{"/network-scripts/ifcfg/..: not the name", "/network-scripts/ifcfg/averyverylongname: not the name"}},
		{`{"network-scripts": {"ifcfg": {"a": {"device": "x\"y", "bootproto": "x", "type": "y"}}}}`,
			[]string{"/network-scripts/ifcfg/a/bootproto: none of none", "/network-scripts/ifcfg/a/device: not the name", "/network-scripts/ifcfg/a/type: none of Ethernet"}},
		{`{"livesys": {"session": "$(x)"}}`, []string{"/livesys/session: begin"}},
		{`{"desktop": {}}`, []string{"/desktop: give"}},
		{`{"desktop": {"preferred": "a;b"}}`, []string{"/desktop/preferred: neither"}},
		{`{"network": {"network": true}}`, []string{`: "network"`}},
	})
}

package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestRHSM(t *testing.T) {
	t.Parallel()
	const product, manager, yum = "etc/dnf/plugins/product-id.conf", "etc/dnf/plugins/subscription-manager.conf", "etc/yum/pluginconf.d/product-id.conf"
	file := treetest.File
	conf := func(text string) treetest.Tree { return treetest.Tree{rhsmConf: file(text)} }
	const old = "# main\n[server]\nhostname = x\n\n[rhsm]\nbaseurl = y\nmanage_repos = 1\n\n# the daemon\n[rhsmcertd]\nautoAttachInterval = 1440\n"
	runCases(t, "org.osbuild.rhsm", []treeCase{
		{name: "plugins", before: treetest.Tree{product: file("[main]\nenabled=1\n"), manager: file("").Perm(0o600), yum: file("[main]\n")},
			options: `{"dnf-plugins": {"product-id": {"enabled": false}, "subscription-manager": {"enabled": true}}, "yum-plugins": {"product-id": {"enabled": false}}}`,
			after:   treetest.Tree{product: file("[main]\nenabled=0\n"), manager: file("[main]\nenabled = 1\n").Perm(0o600), yum: file("[main]\nenabled = 0\n")}},
		{name: "settings", before: conf(old),
			options: `{"subscription-manager": {"rhsm": {"manage_repos": false, "auto_enable_yum_plugins": false}, "rhsmcertd": {"auto_registration": true}}}`,
			after: conf("# main\n[server]\nhostname = x\n\n[rhsm]\nbaseurl = y\nmanage_repos = 0\nauto_enable_yum_plugins = 0\n\n# the daemon\n" +
				"[rhsmcertd]\nautoAttachInterval = 1440\nauto_registration = 1\n")},
		{name: "nothing to do", before: conf(old), options: `{"dnf-plugins": {"product-id": {}}, "subscription-manager": {"rhsm": {}}}`},
		{name: "no file", before: treetest.Tree{product: file("[main]\nenabled=1\n")},
			options: `{"dnf-plugins": {"product-id": {"enabled": false}, "subscription-manager": {"enabled": true}}}`,
			err:     "no /etc/dnf/plugins/subscription-manager.conf"},
		{name: "no section", before: conf("[server]\n"), options: `{"subscription-manager": {"rhsm": {"manage_repos": false}}}`, err: "no section rhsm"},
		{name: "unknown", before: conf(old), options: `{"subscription-manager": {"rhsm": {"baseurl": "z"}}}`, err: `"baseurl"`},
	})
}

package stages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestFirewall(t *testing.T) {
	t.Parallel()
	const program = "usr/bin/" + firewallCmd
	for _, c := range []struct {
		name, options, calls, err string
		log                       bool
	}{
		{name: "all", options: `{"ports": ["8080:tcp", "6000-6010:udp"], "enabled_services": ["ssh"], "disabled_services": ["http"], "default_zone": "work",
			"zones": [{"name": "known", "sources": ["192.0.2.0/24", "ipset:x"]}, {"name": "new", "sources": []}]}`,
			calls: "--set-default-zone=work\n--port=8080:tcp --port=6000-6010:udp --service=ssh --remove-service=http\n" +
				"--info-zone=known\n--zone=known --add-source=192.0.2.0/24 --add-source=ipset:x\n--info-zone=new\n--new-zone=new\n"},
		{name: "as in 2019", options: `{"ports": ["22:tcp"]}`, calls: "--port=22:tcp\n"},
		{name: "nothing to do", options: `{}`},
		{name: "a log of its own", options: `{"enabled_services": ["ssh"]}`, log: true, calls: "--service=ssh\n"},
		{name: "fails", options: `{"enabled_services": ["unknown"]}`, err: "INVALID_SERVICE: unknown", calls: "--service=unknown\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := treetest.Tree{"etc/firewalld/x": treetest.File("x"), "var/log": treetest.Dir(0o755), "usr/bin": treetest.Dir(0o755)}
			if c.log {
				before[firewallLog] = treetest.File("old")
			}
			dir := treetest.New(t, before)
			standIn(t, dir, program)
			_, err := runStage(t, "org.osbuild.firewall", dir, c.options)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v", err)
			}
			after := before
			if c.calls != "" {
				after = before.With(treetest.Tree{"etc/firewalld/calls": treetest.File(c.calls)})
			}
			got := readTree(t, dir, program)
			if c.log || c.err != "" {
				got = got.Without(firewallLog)
				after = after.Without(firewallLog)
			}
			if diff := treetest.Diff(after, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFirewallMissing(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, treetest.Tree{"etc/x": treetest.File("x")})
	_, err := runStage(t, "org.osbuild.firewall", dir, `{"enabled_services": ["ssh"]}`)
	if err == nil || err.Error() != "there is no program firewall-offline-cmd in the tree: install firewalld there first" {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "etc/firewalld")); err == nil {
		t.Error("the tree has changed")
	}
}

func TestFirewallCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.firewall", []checkCase{
		{`{}`, nil},
		{`{"ports": ["ssh:tcp", "1-2:sctp", "53:udp", "1:dccp"], "default_zone": "a_b-1"}`, nil},
		{`{"ports": ["22", "22:icmp", ":tcp", "1 2:tcp"]}`, []string{`/ports/0: "22" is no port`, "/ports/1: is no port", "/ports/2: is no port", "/ports/3: is no port"}},
		{`{"enabled_services": [""], "disabled_services": ["a b"]}`, []string{"/disabled_services/0: is not the name", "/enabled_services/0: is not the name"}},
		{`{"zones": [{"name": "a", "sources": ["192.0.2.0/24"]}, {"name": "b", "sources": ["192.0.2.1", "192.0.2.0/24"]}, {"name": "b", "sources": ["192.0.2.1"]}]}`,
			[]string{"/zones/1/sources/1: of the zone \"a\" too"}},
		{`{"default_zone": "a/b", "zones": [{"name": "", "sources": ["x\ny", ""]}]}`,
			[]string{"/default_zone: is not the name", "/zones/0/name: is not the name", "/zones/0/sources/0: is not an address", "/zones/0/sources/1: is not an address"}},
	})
}

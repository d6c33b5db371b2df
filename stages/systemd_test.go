package stages

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

const unitDir = "usr/lib/systemd/system/"

// unitTree has a unit for each way of installing one.
func unitTree() treetest.Tree {
	unit := func(install string) treetest.Node {
		return treetest.File("[Unit]\nDescription=x\nWantedBy=not-here.target\n[Service]\nExecStart=/bin/true\n" + install)
	}
	return treetest.Tree{
		"lib":                                       treetest.Link("usr/lib"),
		unitDir + "nginx.service":                   unit("[Install]\nWantedBy=multi-user.target\n"),
		unitDir + "ssh.service":                     unit("[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n"),
		unitDir + "many.service":                    unit("[Install]\n# comment\nWantedBy=a.target \\\n  b.target\nRequiredBy=c.target\nWantedBy=d.target\nAlias=%p-alias.service\n"),
		unitDir + "reset.service":                   unit("[Install]\nWantedBy=a.target\nWantedBy=\nWantedBy=b.target\n"),
		unitDir + "also.service":                    unit("[Install]\nWantedBy=multi-user.target\nAlso=also.socket gone.service\n"),
		unitDir + "also.socket":                     treetest.File("[Socket]\nListenStream=1\n[Install]\nWantedBy=sockets.target\n"),
		unitDir + "getty@.service":                  unit("[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n"),
		unitDir + "inst@.service":                   unit("[Install]\nWantedBy=multi-user.target\n"),
		unitDir + "per@.service":                    unit("[Install]\nWantedBy=dev-%i.device\nAlias=other@.service\n"),
		unitDir + "static.service":                  unit(""),
		unitDir + "autovt@.service":                 treetest.Link("getty@.service"),
		unitDir + "vendor.service":                  treetest.Link("nginx.service"),
		unitDir + "graphical.target":                treetest.File("[Unit]\nDescription=g\n[Install]\nAlias=default.target\n"),
		unitDir + "multi-user.target":               treetest.File("[Unit]\nDescription=m\n"),
		unitDir + "default.target":                  treetest.Link("graphical.target"),
		unitDir + "vmask.service":                   treetest.Link("/dev/null"),
		unitDir + "drop.service":                    unit("[Install]\nWantedBy=a.target\n"),
		"etc/systemd/system/drop.service.d/10.conf": treetest.File("[Install]\nWantedBy=b.target\n"),
		unitDir + "drop.service.d/10.conf":          treetest.File("[Install]\nWantedBy=hidden.target\n"),
		unitDir + "drop.service.d/20.conf":          treetest.File("[Install]\nWantedBy=c.target\n"),
		"etc/systemd/system/local.service":          unit("[Install]\nWantedBy=multi-user.target\n"),
		"etc/systemd/system/masked.service":         treetest.Link("/dev/null"),
		"opt/linked.service":                        unit("[Install]\nWantedBy=multi-user.target\n"),
		"etc/systemd/system/linked.service":         treetest.Link("/opt/linked.service"),
		"etc/init.d/legacy":                         treetest.File("#!/bin/sh\n").Perm(0o755),
	}
}

func wants(target, name, file string) treetest.Tree {
	return treetest.Tree{"etc/systemd/system/" + target + "/" + name: treetest.Link("/" + file)}
}

func join(trees ...treetest.Tree) treetest.Tree { return treetest.Tree{}.With(trees...) }

func TestSystemd(t *testing.T) {
	t.Parallel()
	base := unitTree()
	alias := func(name, unit string) treetest.Tree {
		return treetest.Tree{"etc/systemd/system/" + name: treetest.Link("/" + unitDir + unit)}
	}
	nginx := wants("multi-user.target.wants", "nginx.service", unitDir+"nginx.service")
	runCases(t, "org.osbuild.systemd", []treeCase{
		{name: "nothing", before: base, options: `{}`},
		{name: "enable", before: base, options: `{"enabled_services": ["nginx"]}`, after: nginx, log: "created link"},
		{name: "enabled already", before: base.With(nginx), options: `{"enabled_services": ["nginx.service"]}`},
		{name: "enabled already by the old path", before: base.With(wants("multi-user.target.wants", "nginx.service", "lib/systemd/system/nginx.service")),
			options: `{"enabled_services": ["nginx.service"]}`},
		{name: "vendor alias", before: base, options: `{"enabled_services": ["vendor"]}`, after: nginx},
		{name: "two", before: base, options: `{"enabled_services": ["ssh", "nginx"]}`, after: join(nginx,
			wants("multi-user.target.wants", "ssh.service", unitDir+"ssh.service"), alias("sshd.service", "ssh.service"))},
		{name: "config alias", before: base.With(alias("sshd.service", "ssh.service")), options: `{"enabled_services": ["sshd"]}`,
			after: wants("multi-user.target.wants", "ssh.service", unitDir+"ssh.service")},
		{name: "alias is taken", before: base.With(alias("sshd.service", "nginx.service")), options: `{"enabled_services": ["ssh"]}`,
			err: "exists and is a link to \"/usr/lib/systemd/system/nginx.service\""},
		{name: "template", before: base, options: `{"enabled_services": ["getty@"]}`,
			after: wants("getty.target.wants", "getty@tty1.service", unitDir+"getty@.service")},
		{name: "instance", before: base, options: `{"enabled_services": ["inst@x"]}`,
			after: wants("multi-user.target.wants", "inst@x.service", unitDir+"inst@.service")},
		{name: "template without instance", before: base, options: `{"enabled_services": ["inst@"]}`, err: "inst@NAME.service"},
		{name: "specifiers", before: base, options: `{"enabled_services": ["per@sda"]}`,
			after: join(wants("dev-sda.device.wants", "per@sda.service", unitDir+"per@.service"), alias("other@sda.service", "per@.service"))},
		{name: "static", before: base, options: `{"enabled_services": ["static"]}`, log: "no [Install] section"},
		{name: "also", before: base, options: `{"enabled_services": ["also"]}`, log: "gone.service", after: join(
			wants("multi-user.target.wants", "also.service", unitDir+"also.service"), wants("sockets.target.wants", "also.socket", unitDir+"also.socket"))},
		{name: "missing", before: base, options: `{"enabled_services": ["nginy"]}`, err: "nginy.service does not exist in the tree; did you mean nginx.service?"},
		{name: "missing, others fine", before: base, options: `{"enabled_services": ["nginx", "qqqqqqq"], "masked_services": ["x"]}`, err: "is its package installed"},
		{name: "sysv", before: base, options: `{"enabled_services": ["legacy"]}`, err: "SysV init script /etc/init.d/legacy"},
		{name: "masked", before: base, options: `{"enabled_services": ["masked"]}`, err: "masked.service is masked"},
		{name: "masked by vendor", before: base, options: `{"enabled_services": ["vmask"]}`, err: "vmask.service is masked"},
		{name: "linked", before: base, options: `{"enabled_services": ["linked"]}`, after: wants("multi-user.target.wants", "linked.service", "opt/linked.service")},
		{name: "disable", before: base.With(nginx), options: `{"disabled_services": ["nginx"]}`,
			gone: []string{"etc/systemd/system/multi-user.target.wants/nginx.service", "etc/systemd/system/multi-user.target.wants"}},
		{name: "disable with alias", before: base.With(alias("sshd.service", "ssh.service"), nginx, wants("multi-user.target.wants", "ssh.service", unitDir+"ssh.service")),
			options: `{"disabled_services": ["ssh"]}`, gone: []string{"etc/systemd/system/sshd.service", "etc/systemd/system/multi-user.target.wants/ssh.service"}},
		{name: "disable keeps a mask", before: base, options: `{"disabled_services": ["masked"]}`, log: "is masked"},
		{name: "disable missing", before: base, options: `{"disabled_services": ["nginy"]}`, err: "did you mean"},
		{name: "mask", before: base, options: `{"masked_services": ["nginx", "gone", "masked"]}`, log: "gone.service, which does not exist", after: treetest.Tree{
			"etc/systemd/system/nginx.service": treetest.Link("/dev/null"), "etc/systemd/system/gone.service": treetest.Link("/dev/null")}},
		{name: "mask a local unit", before: base, options: `{"masked_services": ["local"]}`, err: "local.service exists and is not a link"},
		{name: "generators", before: base, options: `{"masked_generators": ["systemd-gpt-auto-generator"]}`,
			after: treetest.Tree{"etc/systemd/system-generators/systemd-gpt-auto-generator": treetest.Link("/dev/null")}},
		{name: "default target", before: base, options: `{"default_target": "multi-user"}`, after: alias("default.target", "multi-user.target")},
		{name: "default target again", before: base.With(alias("default.target", "graphical.target")), options: `{"default_target": "multi-user.target"}`,
			after: alias("default.target", "multi-user.target")},
		{name: "default target missing", before: base, options: `{"default_target": "multi-usr"}`, err: "did you mean multi-user.target?"},
		{name: "bad name", before: base, options: `{"enabled_services": ["../x"]}`, err: "/enabled_services/0"},
	})
}

func TestSystemdCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.systemd", []checkCase{
		{`{"enabled_services": ["a", "b.socket", "c@d", "e.f", "x-y\\x2d.mount"]}`, nil},
		{`{"enabled_services": [""]}`, []string{"/enabled_services/0: nothing stands before"}},
		{`{"disabled_services": ["a/b"]}`, []string{`/disabled_services/0: holds "/"`}},
		{`{"masked_services": ["@x"]}`, []string{"/masked_services/0: nothing stands before"}},
		{`{"masked_services": ["` + strings.Repeat("a", 250) + `"]}`, []string{"/masked_services/0: longer"}},
		{`{"masked_generators": ["..", "a/b", ""]}`, []string{"/masked_generators/0: ", "/masked_generators/1: ", "/masked_generators/2: "}},
		{`{"default_target": "a.service"}`, []string{"/default_target: not a target"}},
		{`{"default_target": "default"}`, []string{"/default_target: itself"}},
		{`{"enabled": []}`, []string{": unknown field"}},
	})
}

// TestSystemdAsSystemctl compares the stage with the real program, whose exit
// code for disabling a unit that does not exist depends on its version.
func TestSystemdAsSystemctl(t *testing.T) {
	t.Parallel()
	systemctl, err := exec.LookPath("systemctl")
	if err != nil {
		t.Skip("systemctl is not installed")
	}
	for _, c := range []struct {
		verb, key string
		units     []string
	}{
		{"enable", "enabled_services", []string{"nginx"}},
		{"enable", "enabled_services", []string{"ssh"}},
		{"enable", "enabled_services", []string{"many"}},
		{"enable", "enabled_services", []string{"reset"}},
		{"enable", "enabled_services", []string{"also"}},
		{"enable", "enabled_services", []string{"getty@"}},
		{"enable", "enabled_services", []string{"getty@tty2"}},
		{"enable", "enabled_services", []string{"autovt@tty3"}},
		{"enable", "enabled_services", []string{"inst@x"}},
		{"enable", "enabled_services", []string{"inst@"}},
		{"enable", "enabled_services", []string{"per@sda"}},
		{"enable", "enabled_services", []string{"static"}},
		{"enable", "enabled_services", []string{"vendor"}},
		{"enable", "enabled_services", []string{"graphical.target"}},
		{"enable", "enabled_services", []string{"drop"}},
		{"enable", "enabled_services", []string{"local"}},
		{"enable", "enabled_services", []string{"linked"}},
		{"enable", "enabled_services", []string{"masked"}},
		{"enable", "enabled_services", []string{"vmask"}},
		{"enable", "enabled_services", []string{"gone"}},
		{"enable", "enabled_services", []string{"nginx", "ssh", "getty@"}},
		{"disable", "disabled_services", []string{"nginx"}},
		{"disable", "disabled_services", []string{"ssh"}},
		{"disable", "disabled_services", []string{"also"}},
		{"disable", "disabled_services", []string{"getty@tty1"}},
		{"disable", "disabled_services", []string{"getty@"}},
		{"disable", "disabled_services", []string{"linked"}},
		{"mask", "masked_services", []string{"nginx"}},
		{"mask", "masked_services", []string{"gone"}},
		{"mask", "masked_services", []string{"local"}},
		{"set-default", "default_target", []string{"multi-user.target"}},
		{"set-default", "default_target", []string{"gone.target"}},
	} {
		t.Run(c.verb+" "+strings.Join(c.units, " "), func(t *testing.T) {
			t.Parallel()
			before := unitTree()
			if c.verb == "disable" {
				before = before.With(
					wants("multi-user.target.wants", "nginx.service", unitDir+"nginx.service"),
					wants("multi-user.target.wants", "ssh.service", unitDir+"ssh.service"),
					wants("multi-user.target.wants", "also.service", unitDir+"also.service"),
					wants("sockets.target.wants", "also.socket", unitDir+"also.socket"),
					wants("getty.target.wants", "getty@tty1.service", unitDir+"getty@.service"),
					wants("getty.target.wants", "getty@tty2.service", unitDir+"getty@.service"),
					wants("multi-user.target.wants", "linked.service", "opt/linked.service"),
					treetest.Tree{"etc/systemd/system/sshd.service": treetest.Link("/" + unitDir + "ssh.service")})
			}
			theirs, ours := treetest.New(t, before), treetest.New(t, before)
			out, theirErr := exec.Command(systemctl, append([]string{"--root", theirs, c.verb, "--"}, c.units...)...).CombinedOutput()
			options := fmt.Sprintf(`{%q: ["%s"]}`, c.key, strings.Join(c.units, `", "`))
			if c.verb == "set-default" {
				options = fmt.Sprintf(`{%q: %q}`, c.key, c.units[0])
			}
			_, ourErr := runStage(t, "org.osbuild.systemd", ours, options)
			if (theirErr == nil) != (ourErr == nil) {
				t.Errorf("systemctl: %v (%s); the stage: %v", theirErr, out, ourErr)
			}
			if diff := cmp.Diff(linksOf(treetest.Read(t, theirs)), linksOf(treetest.Read(t, ours))); diff != "" {
				t.Errorf("links (-systemctl +stage):\n%s\n%s", diff, out)
			}
		})
	}
}

// linksOf returns the links below etc with one way of writing /usr/lib.
func linksOf(tree treetest.Tree) map[string]string {
	links := map[string]string{}
	for name, n := range tree {
		if n.Link != "" && strings.HasPrefix(name, "etc/") {
			links[name] = strings.TrimPrefix(n.Link, "/usr")
		}
	}
	return links
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"nginx.service", "nginx-debug.service", "sshd.service", "ssh.service", "cron.service", "x.service"}
	for name, want := range map[string][]string{
		"ngnix.service":  {"nginx.service"},
		"nginx.service":  {"nginx-debug.service"},
		"sshdd.service":  {"sshd.service", "ssh.service"},
		"apache.service": nil,
	} {
		if diff := cmp.Diff(want, nearest(name, names, 3)); diff != "" {
			t.Errorf("nearest(%q) (-want +got):\n%s", name, diff)
		}
	}
}

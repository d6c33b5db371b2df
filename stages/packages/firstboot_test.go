package packages

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/module"
)

// merged joins maps of files; the later ones win.
func merged(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// unitFiles are the files and links of a first-boot unit.
func unitFiles(t *testing.T, name string) map[string]string {
	t.Helper()
	i := slices.IndexFunc(firstBootUnits, func(u firstBootUnit) bool { return u.name == name })
	if i < 0 {
		t.Fatalf("there is no unit %s", name)
	}
	out := map[string]string{unitDir + "/" + name: firstBootUnits[i].text}
	for _, by := range firstBootUnits[i].wantedBy {
		out[unitDir+"/"+by+".wants/"+name] = "->/" + unitDir + "/" + name
	}
	return out
}

// normalised is a tree after the normaliser, which must leave it the second
// time.
func normalised(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("setting owners takes root")
	}
	root := makeTree(t, files)
	var first map[string]string
	for range 2 {
		if err := normalise(context.Background(), &module.Input{Tree: root, Epoch: testEpoch}); err != nil {
			t.Fatal(err)
		}
		got := contents(t, root)
		if first != nil {
			if diff := cmp.Diff(first, got); diff != "" {
				t.Error("the second time changes something:\n", diff)
			}
		}
		first = got
	}
	return first
}

// Of each file, one program or unit brings it back, or it stays.
func TestIdentityComesBack(t *testing.T) {
	t.Parallel()
	systemd := map[string]string{systemdFile: "x"}
	cert := map[string]string{"usr/sbin/make-ssl-cert": "x", "usr/bin/openssl": "x"}
	nvme := map[string]string{"usr/sbin/nvme": "x", "etc/nvme/discovery.conf": "keep"}
	popcon := map[string]string{"usr/sbin/popularity-contest": "x", "usr/sbin/dpkg-reconfigure": "x"}
	const name = "InitiatorName=iqn.1993-08.org.debian:01:c0ffee\n"
	initiator := map[string]string{"etc/iscsi/initiatorname.iscsi": name}
	checks := func(dir string) map[string]string {
		return map[string]string{dir + "/startup-checks.sh": "if grep -q \"^GenerateName=yes\" $NAMEFILE ; then\n"}
	}
	mandb := map[string]string{"usr/bin/mandb": "x", "usr/lib/systemd/system/man-db.service": "x"}
	tests := []struct {
		name     string
		in, want map[string]string
	}{
		{
			"snakeoil",
			merged(systemd, cert, map[string]string{
				"etc/ssl/private/ssl-cert-snakeoil.key": "secret", "etc/ssl/certs/ssl-cert-snakeoil.pem": "public",
				"etc/ssl/certs/00c0ffee.0": "->ssl-cert-snakeoil.pem", "etc/ssl/certs/0123abcd.1": "->/etc/ssl/certs/ssl-cert-snakeoil.pem",
				"etc/ssl/certs/deadbeef.0": "->ISRG_Root_X1.pem", "etc/ssl/certs/mine.0": "->ssl-cert-snakeoil.pem", "etc/ssl/certs/cafe0000.0": "a file",
			}),
			merged(systemd, cert, unitFiles(t, certUnit), map[string]string{
				"etc/ssl/certs/deadbeef.0": "->ISRG_Root_X1.pem", "etc/ssl/certs/mine.0": "->ssl-cert-snakeoil.pem", "etc/ssl/certs/cafe0000.0": "a file",
			}),
		},
		{"iscsi of Debian 12", merged(initiator, checks("usr/lib/open-iscsi")), merged(checks("usr/lib/open-iscsi"), map[string]string{"etc/iscsi/initiatorname.iscsi": generateName})},
		{"iscsi of a Debian of before", merged(initiator, checks("lib/open-iscsi")), merged(checks("lib/open-iscsi"), map[string]string{"etc/iscsi/initiatorname.iscsi": generateName})},
		{
			"iscsi of Fedora", merged(initiator, map[string]string{"usr/lib/systemd/system/iscsi-init.service": "x"}),
			map[string]string{"usr/lib/systemd/system/iscsi-init.service": "x"},
		},
		{"iscsi that nobody names again", initiator, initiator},
		{
			"iscsi whose script makes no name", merged(initiator, map[string]string{"usr/lib/open-iscsi/startup-checks.sh": "exit 0\n"}),
			merged(initiator, map[string]string{"usr/lib/open-iscsi/startup-checks.sh": "exit 0\n"}),
		},
		{
			"nvme", merged(systemd, nvme, map[string]string{"etc/nvme/hostnqn": "nqn.x\n", "etc/nvme/hostid": "1\n"}),
			merged(systemd, nvme, unitFiles(t, nvmeUnit), map[string]string{"etc/nvme/hostnqn": "", "etc/nvme/hostid": ""}),
		},
		{
			"nvme without systemd", merged(nvme, map[string]string{"etc/nvme/hostnqn": "nqn.x\n"}),
			merged(nvme, map[string]string{"etc/nvme/hostnqn": "nqn.x\n"}),
		},
		{
			"number of the machine", merged(systemd, map[string]string{"etc/hostid": "abcd", "usr/sbin/zgenhostid": "x"}),
			merged(systemd, unitFiles(t, hostIDUnit), map[string]string{"usr/sbin/zgenhostid": "x"}),
		},
		{"number that nobody makes again", merged(systemd, map[string]string{"etc/hostid": "abcd"}), merged(systemd, map[string]string{"etc/hostid": "abcd"})},
		{
			"popularity contest",
			merged(systemd, popcon, map[string]string{
				"etc/popularity-contest.conf":   "# a\nMY_HOSTID=\"c0ffee\"\nPARTICIPATE=\"no\"\nDAY=\"3\"\n",
				"etc/cron.d/popularity-contest": "17 3 * * * root x\n",
			}),
			merged(systemd, popcon, unitFiles(t, popconUnit), map[string]string{"etc/popularity-contest.conf": "# a\nPARTICIPATE=\"no\"\n"}),
		},
		{
			"keys", map[string]string{
				"etc/dropbear/dropbear_rsa_host_key": "secret", "etc/dropbear/dropbear.conf": "keep", "etc/bind/rndc.key": "secret", "etc/bind/named.conf": "keep",
				"etc/nsd/nsd_server.key": "secret", "etc/nsd/nsd.conf": "keep", "etc/xrdp/rsakeys.ini": "secret", "etc/xrdp/xrdp.ini": "keep",
				"etc/munge/munge.key": "of the cluster",
			},
			map[string]string{
				"etc/dropbear/dropbear.conf": "keep", "etc/bind/named.conf": "keep", "etc/nsd/nsd.conf": "keep", "etc/xrdp/xrdp.ini": "keep",
				"etc/munge/munge.key": "of the cluster",
			},
		},
		{"index of the manual", merged(systemd, mandb, map[string]string{"var/cache/man/index.db": "x"}), merged(systemd, mandb, unitFiles(t, manualUnit))},
		{
			"links are left",
			merged(checks("usr/lib/open-iscsi"), map[string]string{"etc/iscsi/initiatorname.iscsi": "->../keep", "etc/keep": "keep"}),
			merged(checks("usr/lib/open-iscsi"), map[string]string{"etc/iscsi/initiatorname.iscsi": "->../keep", "etc/keep": "keep"}),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, normalised(t, tt.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNeutralFilesKeepTheirMode(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("setting owners takes root")
	}
	root := makeTree(t, map[string]string{"etc/iscsi/initiatorname.iscsi": "InitiatorName=x\n", "usr/lib/open-iscsi/startup-checks.sh": "GenerateName=yes"})
	file := filepath.Join(root, "etc/iscsi/initiatorname.iscsi")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := normalise(context.Background(), &module.Input{Tree: root, Epoch: testEpoch}); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// What is cleaned must be what the units ask for, and systemd must be able to
// read them.
func TestFirstBootUnits(t *testing.T) {
	t.Parallel()
	verify, _ := exec.LookPath("systemd-analyze")
	for _, u := range firstBootUnits {
		for _, by := range u.wantedBy {
			if !strings.Contains(u.text, by) {
				t.Errorf("%s is linked into %s.wants, but does not say so", u.name, by)
			}
		}
		if !strings.Contains(u.text, "\nCondition") {
			t.Errorf("%s runs at every boot", u.name)
		}
		if verify == "" {
			continue
		}
		file := filepath.Join(t.TempDir(), u.name)
		if err := os.WriteFile(file, []byte(u.text), 0o644); err != nil {
			t.Fatal(err)
		}
		// It also reports programs that this machine lacks.
		out, _ := exec.Command(verify, "verify", "--man=no", file).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, u.name) && !strings.Contains(line, "is not executable") && !strings.Contains(line, "bad-setting") {
				t.Error(strings.TrimSpace(line))
			}
		}
	}
}

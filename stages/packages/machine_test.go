//go:build e2e

package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/module"
)

// TestMachine installs a kernel and what makes files of its own for each
// machine. The disk for the start of the kernel is made once; what the
// normaliser takes away comes back when the units run, and differs each time.
func TestMachine(t *testing.T) {
	b := bootstrap(t, "trixie")
	for name, text := range map[string]string{
		"etc/hostname": "web1.example.org\n",
		"etc/hosts":    "127.0.0.1\tlocalhost\n127.0.1.1\tweb1.example.org\tweb1\n",
	} {
		if err := os.WriteFile(filepath.Join(b.tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := AptOptions{
		Packages: []string{
			"initramfs-tools", "linux-image-cloud-amd64", "systemd-sysv", "zstd",
			"ssl-cert", "open-iscsi", "nvme-cli", "man-db", "postfix", "bind9", "dropbear",
		},
		Repos: []RepositoryOptions{{Suite: "trixie"}},
	}
	b.mounted(func() {
		repos, list, debs := b.layout("trixie")
		b.part(AptSolve, module.Input{BuildRoot: "/", OutputDir: list, Inputs: map[string]string{"repos": repos}}, o.ForSolve())
		b.debs(list, debs)
		b.log.Reset()
		b.part(AptApply, module.Input{Inputs: map[string]string{"debs": debs, "list": list}}, o.ForApply())
	})
	b.healthy()
	if n := strings.Count(b.log.String(), "update-initramfs: Generating"); n != 1 {
		t.Errorf("the initial RAM disk was made %d times", n)
	}
	if found, err := filepath.Glob(filepath.Join(b.tree, "boot/initrd.img-*")); err != nil || len(found) != 1 {
		t.Errorf("initial RAM disks: %v, %v", found, err)
	}
	if got := strings.TrimSpace(b.inside("postconf", "-h", "myhostname")); got != "web1.example.org" {
		t.Errorf("postfix takes the machine for %q", got)
	}
	b.part(NormalisePart, module.Input{}, struct{}{})
	b.noKeys()
	image := snapshot(t, b.tree)
	first := b.firstBoot()
	b.part(NormalisePart, module.Input{}, struct{}{})
	b.noKeys()
	second := b.firstBoot()
	for what, value := range first {
		if value == "" || value == second[what] && what != "nvme" { // named after the hardware
			t.Errorf("%s: %q on one machine and %q on another", what, value, second[what])
		}
	}
	b.part(NormalisePart, module.Input{}, struct{}{})
	if diff := cmp.Diff(image, snapshot(t, b.tree)); diff != "" {
		t.Errorf("the image of a machine that has run differs:\n%s", diff)
	}
}

// firstBoot runs what the units of the image run, and asks the programs that
// read the files.
func (b *builder) firstBoot() map[string]string {
	b.t.Helper()
	got := map[string]string{}
	b.mounted(func() {
		for _, u := range firstBootUnits {
			text, err := os.ReadFile(filepath.Join(b.tree, unitDir, u.name))
			if err != nil || u.name == manualUnit { // which asks systemd
				continue
			}
			for line := range strings.Lines(string(text)) {
				if command, ok := strings.CutPrefix(line, "ExecStart="); ok {
					b.inside("/bin/sh", "-c", strings.TrimPrefix(command, "-"))
				}
			}
		}
		checks, err := filepath.Glob(filepath.Join(b.tree, "usr/lib*/open-iscsi/startup-checks.sh"))
		if err != nil || len(checks) != 1 {
			b.t.Errorf("start script of iscsid: %v, %v", checks, err)
			return
		}
		b.inside("/bin/sh", strings.TrimPrefix(checks[0], b.tree))
		got["certificate"] = b.inside("openssl", "x509", "-in", "/etc/ssl/certs/ssl-cert-snakeoil.pem", "-noout", "-pubkey")
		if key := b.inside("openssl", "pkey", "-in", "/etc/ssl/private/ssl-cert-snakeoil.key", "-pubout"); key != got["certificate"] {
			b.t.Errorf("the certificate is not that of the key: %s", key)
		}
		got["initiator"] = b.inside("grep", "^InitiatorName=iqn", "/etc/iscsi/initiatorname.iscsi")
		got["nvme"] = b.inside("nvme", "show-hostnqn")
		got["nvme host"] = b.inside("cat", "/etc/nvme/hostid")
		got["rndc"] = b.inside("grep", "secret", "/etc/bind/rndc.key")
		if owner := b.inside("stat", "-c", "%U:%G %a", "/etc/bind/rndc.key"); owner != "bind:bind 640\n" {
			b.t.Errorf("rndc.key is of %s", owner)
		}
		b.inside("named-checkconf")
		got["dropbear"] = b.inside("dropbearkey", "-y", "-f", "/etc/dropbear/dropbear_ed25519_host_key")
	})
	return got
}

// noKeys wants no private key in the tree, and no name of the machine on the
// disk for the start of the kernel.
func (b *builder) noKeys() {
	b.t.Helper()
	out, _ := exec.Command("grep", "-rlE", "BEGIN [A-Z ]*PRIVATE KEY", filepath.Join(b.tree, "etc"), filepath.Join(b.tree, "var")).Output()
	if len(out) > 0 {
		b.t.Errorf("private keys: %s", out)
	}
	b.mounted(func() {
		b.inside("/bin/sh", "-c", "set -e; cd /tmp; unmkinitramfs /boot/initrd.img-* x; ! grep -r '^InitiatorName=iqn' x")
	})
}

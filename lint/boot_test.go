package lint_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/lint"
)

// What is said of a disk with a Debian whose packages are known, and of which
// others nothing is said.
func TestBootDisks(t *testing.T) {
	t.Parallel()
	const (
		console = `{"kernel_opts": "ro console=ttyS0"}`
		quiet   = `{"kernel_opts": "quiet"}`
		key     = `{"users": {"a": {"key": "ssh-ed25519 AAAA a"}}}`
		disk    = `{"format": "qcow2"}`
		raw     = `{"format": "raw"}`
		gptDisk = `{"format": "raw", "pttype": "gpt"}`
		uki     = `{"format": "qcow2", "pttype": "gpt", "bootloader": {"type": "uki"}}`
	)
	apt := func(names string) string { return stage("org.osbuildkit.apt", `{"packages": [`+names+`]}`) }
	grub := func(options string) string { return stage("org.osbuild.grub2", options) }
	user := func(options string) string { return stage("org.osbuild.users", `{"users": {"a": `+options+`}}`) }
	kernel, cloud := apt(`"linux-image-amd64", "openssh-server"`), apt(`"linux-image-cloud-amd64", "openssh-server"`)
	users := stage("org.osbuild.users", key)
	noLoader := []string{"NoBootLoader /assembler"}
	noSerial := []string{"NoSerialConsole /stages/2"}
	noLogin := []string{"NoLogin /assembler"}
	for _, c := range []struct {
		name   string
		stages []string
		disk   string
		want   []string
	}{
		{"all is there", []string{kernel, grub(console), users}, disk, nil},
		// Boot loaders.
		{"no loader", []string{kernel, users}, disk, noLoader},
		{"no loader with a GPT", []string{kernel, users}, gptDisk, noLoader},
		{"a GPT with GRUB's configuration", []string{kernel, grub(console), users}, gptDisk, []string{"NoBootLoader /assembler/options/pttype"}},
		{"GRUB of the build root", []string{kernel, grub(`{"uefi": {"vendor": "debian", "install": true}, "kernel_opts": "console=ttyS0"}`), users}, gptDisk, nil},
		{"a package that may bring one", []string{apt(`"linux-image-amd64", "grub-efi-amd64", "ssh"`), users}, gptDisk, nil},
		{"the modules of one", []string{apt(`"linux-image-amd64", "grub-efi-amd64-bin", "grub2-common", "ssh"`), users}, gptDisk, noLoader},
		{"GRUB for a BIOS on arm64", []string{apt(`"linux-image-cloud-arm64", "ssh"`), grub(console), users}, disk, noLoader},
		{"kernels for both", []string{apt(`"linux-image-arm64 [arm64]", "linux-image-amd64 [amd64]", "ssh"`), grub(console), users}, disk, nil},
		{"a kernel and an archive", []string{kernel, users, stage("org.osbuild.copy", `{}`)}, disk, nil},
		{"a kernel in a container", nil, "", nil},
		// Consoles.
		{"the screen alone", []string{cloud, grub(quiet), users}, raw, noSerial},
		{"the screen of qemu", []string{kernel, grub(quiet), users}, disk, noSerial},
		{"the screen of a PC", []string{kernel, grub(quiet), users}, raw, nil},
		{"a screen that is chosen", []string{cloud, grub(`{"kernel_opts": "console=tty0"}`), users}, disk, nil},
		{"a login on the line", []string{cloud, grub(quiet), users, stage("org.osbuild.systemd", `{"enabled_services": ["serial-getty@ttyS0.service"]}`)}, disk, nil},
		{"another stage's command line", []string{cloud, grub(quiet), users, stage("org.osbuild.kernel-cmdline", console)}, disk, nil},
		{"a unified image", []string{cloud, grub(console), users}, uki, []string{"NoSerialConsole /assembler/options/bootloader"}},
		{"arm64", []string{apt(`"linux-image-cloud-arm64", "ssh"`), users}, uki, nil},
		// Logins.
		{"nobody", []string{kernel, grub(console)}, disk, noLogin},
		{"a user without anything", []string{kernel, grub(console), user(`{}`)}, disk, noLogin},
		{"locked", []string{kernel, grub(console), user(`{"password": "!"}`)}, disk, noLogin},
		{"no shell", []string{kernel, grub(console), user(`{"key": "k", "shell": "/usr/sbin/nologin"}`)}, disk, noLogin},
		{"a password", []string{apt(`"linux-image-amd64"`), grub(console), user(`{"password": "` + goodHash + `"}`)}, disk, nil},
		{"a secret", []string{apt(`"linux-image-amd64"`), grub(console), user(`{"password_secret": "x"}`)}, disk, nil},
		{"keys", []string{kernel, grub(console), user(`{"keys": ["k"]}`)}, disk, nil},
		{"a key without a server", []string{apt(`"linux-image-amd64"`), grub(console), user(`{"keys": ["k"]}`)}, disk, []string{"NoLogin /stages/3/options/users/a/keys"}},
		{"another server", []string{apt(`"linux-image-amd64", "dropbear-bin"`), grub(console), user(`{"key": "k"}`)}, disk, nil},
		{"cloud-init", []string{apt(`"linux-image-amd64", "cloud-init"`), grub(console)}, disk, nil},
		{"a directory", []string{apt(`"linux-image-amd64", "sssd-ldap"`), grub(console)}, disk, nil},
		{"Ignition", []string{kernel, grub(console), stage("org.osbuild.ignition", `{}`)}, disk, nil},
		{"the first boot", []string{kernel, grub(console), stage("org.osbuild.first-boot", `{"commands": ["true"]}`)}, disk, nil},
		{"a script", []string{kernel, grub(console), stage("org.osbuild.script", `{"script": "passwd"}`)}, disk, nil},
		{"debconf", []string{stage("org.osbuildkit.apt", `{"packages": ["linux-image-amd64"], "debconf": ["passwd passwd/root-password-crypted password `+goodHash+`"]}`), grub(console)}, disk, nil},
		{"the kernel's debug shell", []string{kernel, grub(`{"kernel_opts": "console=ttyS0 systemd.debug_shell"}`)}, disk, nil},
		{"recommendations", []string{stage("org.osbuildkit.apt", `{"packages": ["linux-image-amd64"], "install_recommends": true}`), grub(quiet)}, disk, nil},
		{"a file system", []string{kernel}, "rawfs", nil},
		{"an archive", []string{kernel}, "tar", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := of(append([]string{debian}, c.stages...)...)
			switch c.disk {
			case "":
			case "rawfs", "tar":
				text = text[:len(text)-1] + `, "assembler": {"name": "org.osbuild.` + c.disk + `", "options": {}}}`
			default:
				text = text[:len(text)-1] + `, "assembler": {"name": "org.osbuild.qemu", "options": ` + c.disk + `}}`
			}
			if d := cmp.Diff(c.want, found(t, text, lint.Config{})); d != "" {
				t.Errorf("%s\n%s", text, d)
			}
		})
	}
	// Of what a manifest goes on from, and of groups, nobody knows what is in it.
	for _, text := range []string{
		qemu(kernel, disk), qemu(kernel+","+grub(quiet), disk), qemu(dnf+","+grub(quiet), disk),
		`{"base": "` + strings.Repeat("a", 64) + `", "stages": [` + kernel + "," + grub(quiet) + `], "assembler": {"name": "org.osbuild.qemu", "options": ` + disk + `}}`,
	} {
		m, modules := load(t, text)
		if got := lint.Run(m, modules, lint.Config{Skip: []string{"UnpinnedRepository"}}); got != nil {
			t.Errorf("%s\n%+v", text, got[0].Message)
		}
	}
}

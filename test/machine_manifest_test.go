//go:build e2e

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the machine of TestMachine is called, and who may use it.
const (
	machineName     = "machine.example.test"
	machineUser     = "admin"
	machinePassword = "correct horse"
)

// machineSize is the size of its image, in bytes; it then gets a larger disk.
const (
	machineSize = 3 << 30
	machineDisk = 6 << 30
)

// machineKey makes a key for ssh, once for a store, so that the same image is
// made again.
func machineKey(t *testing.T) string {
	t.Helper()
	key := filepath.Join(shared.store, "machine-key")
	if _, err := os.Stat(key); err != nil {
		if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	return key
}

// machineScript is what an administrator configures: the two web servers share
// the machine, and apache2 has its site with ssl.
const machineScript = `set -e
a2enmod -q ssl
a2ensite -q default-ssl
a2dissite -q 000-default
printf 'Listen 8443\n' > /etc/apache2/ports.conf
sed -i 's/_default_:443\|\*:443/*:8443/' /etc/apache2/sites-available/default-ssl.conf
`

// machineStages are those of the machine; the name comes first, so that postfix
// takes it.
func machineStages(t *testing.T, key, rootFS, loader string) []any {
	t.Helper()
	filesystems := []object{{"uuid": rootID, "vfs_type": rootFS, "path": "/", "options": "defaults", "passno": 1}}
	if rootFS == "btrfs" {
		filesystems[0]["passno"] = 0
	}
	list := []any{
		bootstrap(),
		stage("org.osbuild.hostname", object{"hostname": machineName}),
		stage("org.osbuildkit.apt", object{"packages": []string{
			"apache2", "btrfs-progs", "chrony", "cryptsetup-bin", "dosfstools", "e2fsprogs", "fdisk", "initramfs-tools", "linux-image-cloud-amd64", "man-db", "nginx", "open-iscsi", "openssh-server",
			"postfix", "postgresql", "rsyslog", "ssl-cert", "sudo", "systemd-resolved", "systemd-sysv", "udev", "unattended-upgrades", "xfsprogs",
		}}),
		stage("org.osbuild.script", object{"script": machineScript}),
		stage("org.osbuild.users", object{"users": object{machineUser: object{
			"groups": []string{"sudo", "adm"}, "home": "/home/" + machineUser, "shell": "/bin/bash", "password": machinePassword,
			"key": strings.TrimSpace(string(readFile(t, key+".pub"))),
		}}}),
		stage("org.osbuild.systemd", object{"enabled_services": []string{"systemd-networkd", "systemd-network-generator"}}),
		stage("org.osbuildkit.grow", object{}),
	}
	if loader == "systemd-boot" {
		filesystems = append(filesystems, object{"uuid": espID, "vfs_type": "vfat", "path": "/boot/efi", "options": "umask=0077", "passno": 2})
		list = append(list, stage("org.osbuildkit.apt", object{"packages": []string{"systemd-boot"}}))
		return append(list, stage("org.osbuild.fstab", object{"filesystems": filesystems}))
	}
	list = append(list, stage("org.osbuild.fstab", object{"filesystems": filesystems}))
	return append(list, stage("org.osbuild.grub2", object{"root_fs_uuid": rootID, "kernel_opts": "ro console=ttyS0 ip=dhcp"}))
}

// machineManifest is a disk of the machine: for BIOS with a DOS partition table,
// GRUB and ext4, or for UEFI with a GPT, systemd-boot and btrfs.
func machineManifest(t *testing.T, key, firmware string) object {
	t.Helper()
	c := bootCase{format: object{"format": "qcow2"}, pttype: "dos", loader: "bios", root: "ext4", firmware: firmware}
	if firmware == "uefi" {
		c.pttype, c.loader, c.root = "gpt", "systemd-boot", "btrfs"
	}
	o := c.manifest()["assembler"].(object)["options"].(object)
	o["size"] = machineSize
	if firmware == "uefi" {
		o["bootloader"].(object)["kernel_opts"] = "ro console=ttyS0 ip=dhcp"
	}
	return object{"stages": machineStages(t, key, c.root, c.loader), "assembler": stage("org.osbuild.qemu", o)}
}

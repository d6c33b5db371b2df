package catalog_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/module"
)

// older holds options as manifests of 2019 and 2020 have them (tags 2 to 24 of
// osbuild), by module: its oldest form first.
var older = map[module.Kind]map[string][]string{
	module.Stage: {
		"org.osbuild.chrony":      {`{"timeservers": ["0.pool.ntp.org"]}`},
		"org.osbuild.debug-shell": {`{"tty": "/dev/tty9"}`},
		"org.osbuild.error":       {`{}`, `{"returncode": 2}`},
		"org.osbuild.firewall": {
			`{}`, `{"ports": ["22:tcp"], "enabled_services": ["ssh"], "disabled_services": ["telnet"]}`,
		},
		"org.osbuild.first-boot": {`{"commands": ["/usr/bin/true"]}`, `{"commands": [], "wait_for_network": true}`},
		"org.osbuild.fix-bls":    {`{}`, `{"prefix": ""}`, `{"prefix": "/boot"}`},
		"org.osbuild.fstab": {
			`{"filesystems": [{"uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "path": "/", "vfs_type": "ext4", "freq": "1", "passno": "1"}]}`,
			`{"filesystems": [{"label": "root", "path": "/", "options": "ro", "freq": 1, "passno": 2}]}`,
			`{"filesystems": [{"uuid": "u", "path": "/"}], "ostree": {"deployment": {"osname": "iot", "ref": "a/b", "serial": 0}}}`,
		},
		"org.osbuild.groups": {`{"groups": {"wheel": {}, "docker": {"gid": "991"}}}`, `{"groups": {"docker": {"gid": 991}}}`},
		"org.osbuild.grub2": {
			`{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "kernel_opts": "ro"}`,
			`{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "boot_fs_uuid": "7B77-95E7"}`,
			`{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "legacy": true}`,
			`{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "legacy": "powerpc-ieee1275", "uefi": {"vendor": "fedora", "install": true}}`,
			`{"rootfs": {"label": "root"}, "bootfs": {"label": "boot"}, "uefi": {"vendor": "fedora"}, "write_defaults": false, "ignition": true, "greenboot": true, "saved_entry": "x"}`,
		},
		"org.osbuild.hostname":       {`{"hostname": "localhost.localdomain"}`},
		"org.osbuild.ignition":       {`{}`, `{"network": ["ip=dhcp", "rd.neednet=1"]}`},
		"org.osbuild.kernel-cmdline": {`{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "kernel_opts": "ro"}`, `{}`},
		"org.osbuild.keymap":         {`{"keymap": "us"}`},
		"org.osbuild.locale":         {`{"language": "en_US.UTF-8"}`},
		"org.osbuild.noop":           {`{}`, `{"anything": [1]}`},
		"org.osbuild.ostree": {
			`{"commit": "3cd2b0b9e9c2e1a4b3f5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b", "osname": "iot", "rootfs": {"uuid": "u"}, "kernel_opts": ["ro"], "mounts": [{"path": "/boot", "mode": 493}]}`,
			`{"commit": "3cd2b0b9e9c2e1a4b3f5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b", "osname": "iot", "ref": "a/b", "remotes": [{"name": "iot", "url": "https://example.org", "branches": ["a/b"], "gpgkeys": ["k"]}], "populate_var": true}`,
		},
		"org.osbuild.remove-uniqueness": {`{}`},
		"org.osbuild.rhsm":              {`{"dnf-plugins": {"product-id": {"enabled": false}, "subscription-manager": {"enabled": true}}}`},
		"org.osbuild.rpm-ostree":        {`{}`, `{"etc_group_members": ["wheel"]}`},
		"org.osbuild.script":            {`{"script": "touch /x"}`},
		"org.osbuild.selinux":           {`{"file_contexts": "etc/selinux/targeted/contexts/files/file_contexts"}`, `{"file_contexts": "etc/f", "labels": {"/usr/bin/cp": "system_u:object_r:install_exec_t:s0"}}`},
		"org.osbuild.sysconfig":         {`{"kernel": {"update_default": true, "default_kernel": "kernel"}, "network": {"networking": true, "no_zero_conf": true}}`},
		"org.osbuild.systemd": {
			`{"enabled_services": ["sshd"]}`, `{"enabled_services": [], "disabled_services": ["bluetooth"]}`,
			`{"enabled_services": ["cloud-init"], "masked_services": ["x.service"], "default_target": "multi-user.target"}`,
		},
		"org.osbuild.test":     {`{"script": "/usr/bin/true"}`},
		"org.osbuild.timezone": {`{"zone": "Europe/London"}`},
		"org.osbuild.users": {
			`{"users": {"admin": {"uid": "1000", "gid": "1000", "groups": ["wheel"], "description": "A", "home": "/home/a", "shell": "/bin/bash", "password": "$6$Zf1zVqFh$wGoSgrAEtLWzFkWcdqrbYrLYOiVHVoWbRnIoiYCLZFKK4ykmZhHPrdIu9IzV8XZ2n1PbfHPvqZ1u1VJ4MWZ/50", "key": "ssh-rsa x"}}}`,
			`{"users": {"admin": {"uid": 1000, "gid": 1000}, "root": {"password": ""}}}`,
		},
		"org.osbuild.zipl": {`{}`, `{"timeout": 10}`},
		"org.osbuild.copy": {
			`{"source": {"type": "archive", "checksum": "sha256:87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"}}`,
			`{"source": {"type": "archive", "checksum": "sha256:87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7", "strip-components": 0}, "paths": [{}, {"from": "/a", "to": "/b"}]}`,
		},
	},
	module.Assembler: {
		"org.osbuild.error": {`{}`}, "org.osbuild.noop": {`{}`},
		"org.osbuild.tar":         {`{"filename": "root.tar.xz", "compression": "xz"}`, `{"filename": "root.tar"}`},
		"org.osbuild.oci-archive": {`{"architecture": "amd64", "filename": "x.tar", "config": {"Cmd": ["/bin/sh"]}}`},
		"org.osbuild.ostree.commit": {
			`{"ref": "fedora/32/x86_64/iot"}`, `{"ref": "a", "os_version": "1", "tmp-is-dir": false, "tar": {"filename": "commit.tar"}}`,
			`{"ref": "a", "parent": "3cd2b0b9e9c2e1a4b3f5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b"}`,
		},
		"org.osbuild.qemu": {`{"format": "qcow2", "filename": "d.qcow2", "ptuuid": "0x14fc63d2", "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "size": 2147483648}`},
	},
}

// TestOlderForms wants every module of that time, with its page and schema, to
// take the options that it took then.
func TestOlderForms(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	for kind, modules := range older {
		names := c.Names(kind)
		for name, forms := range modules {
			if !slices.Contains(names, name) {
				t.Errorf("there is no %s %s", kind, name)
				continue
			}
			for _, options := range forms {
				if err := validate(t, c, kind, name, options); err != nil {
					t.Errorf("%s: %s: %v", name, options, err)
				}
				if p := c.Check(kind, name, json.RawMessage(options)); len(p) > 0 {
					t.Errorf("%s: %s: %v", name, options, p)
				}
			}
			if _, err := c.Describe(kind, name); err != nil {
				t.Error(err)
			}
		}
	}
}

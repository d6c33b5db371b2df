package catalog_test

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// The options of the first tags of osbuild are taken as they were written:
// numbers as strings, and stages without options.
func TestOptionsOf2019(t *testing.T) {
	t.Parallel()
	const text = `{"stages": [
		{"name": "org.osbuild.chrony", "options": {"timeservers": ["ntp.example.org"]}},
		{"name": "org.osbuild.fix-bls"},
		{"name": "org.osbuild.fix-bls", "options": {}},
		{"name": "org.osbuild.fstab", "options": {"filesystems": [
			{"uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "path": "/", "vfs_type": "ext4", "options": "defaults", "freq": "1", "passno": "1"}]}},
		{"name": "org.osbuild.grub2", "options": {"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "kernel_opts": "ro"}},
		{"name": "org.osbuild.hostname", "options": {"hostname": "localhost"}},
		{"name": "org.osbuild.keymap", "options": {"keymap": "us"}},
		{"name": "org.osbuild.locale", "options": {"language": "en_US"}},
		{"name": "org.osbuild.noop"},
		{"name": "org.osbuild.remove-uniqueness"},
		{"name": "org.osbuild.systemd", "options": {"enabled_services": ["sshd"]}},
		{"name": "org.osbuild.test", "options": {"script": "/usr/bin/true"}},
		{"name": "org.osbuild.timezone", "options": {"zone": "Europe/Berlin"}},
		{"name": "org.osbuild.users", "options": {"users": {"u": {"uid": "1001", "gid": "1001", "groups": ["wheel"], "key": "ssh-rsa x"}}}}
	]}`
	if _, err := manifest.Load("2019.json", []byte(text), catalog.Builtin()); err != nil {
		t.Error(err)
	}
}

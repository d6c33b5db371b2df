package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestFstab(t *testing.T) {
	t.Parallel()
	file := func(s string) treetest.Tree { return treetest.Tree{"etc/fstab": treetest.File(s)} }
	runCases(t, "org.osbuild.fstab", []treeCase{
		{name: "2019", before: file("# old\n"), options: `{"filesystems": [
			{"uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "path": "/", "vfs_type": "ext4", "options": "defaults,ro", "freq": "1", "passno": "2"}]}`,
			after: file("UUID=76a22bf4-f153-4541-b6c7-0332c0dfaeac\t/\text4\tdefaults,ro\t1\t2\n")},
		{name: "today", options: `{"filesystems": [
			{"label": "my root", "path": "/", "vfs_type": "xfs", "freq": 1, "passno": 1.0},
			{"partlabel": "esp", "path": "/boot/efi", "vfs_type": "vfat"},
			{"device": "/dev/vdb", "path": "none", "vfs_type": "swap"},
			{"device": "tmpfs", "path": "/tmp#1", "vfs_type": "tmpfs"}]}`,
			after: file("LABEL=my\\040root\t/\txfs\tdefaults\t1\t1\n" +
				"PARTLABEL=esp\t/boot/efi\tvfat\tdefaults\t0\t0\n" +
				"/dev/vdb\tnone\tswap\tdefaults\t0\t0\n" +
				"tmpfs\t/tmp\\0431\ttmpfs\tdefaults\t0\t0\n")},
		{name: "defaults", options: `{"filesystems": [{"uuid": "u", "path": "/"}]}`, after: file("UUID=u\t/\tnone\tdefaults\t0\t0\n")},
		{name: "empty", before: file("x"), options: `{"filesystems": []}`, after: file("")},
		{name: "bad", before: file("x"), options: `{"filesystems": [{"path": "/"}]}`, err: "/filesystems/0: give exactly one"},
	})
}

func TestFstabCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.fstab", []checkCase{
		{`{"filesystems": [{"uuid": "u", "label": "l", "path": "/"}]}`, []string{"/filesystems/0: exactly one"}},
		{`{"filesystems": [{"uuid": "u", "path": "home"}]}`, []string{"/filesystems/0/path: no mount point"}},
		{`{"filesystems": [{"uuid": "u", "path": "/"}, {"uuid": "v", "path": "/"}]}`, []string{"/filesystems/1/path: twice"}},
		{`{"filesystems": [{"uuid": "u", "path": "swap"}, {"uuid": "v", "path": "swap"}]}`, nil},
		{`{"filesystems": [{"uuid": "u", "path": "/", "options": "a b", "vfs_type": "x\ny"}]}`,
			[]string{"/filesystems/0/options: white space", "/filesystems/0/vfs_type: white space"}},
		{`{"filesystems": [{"uuid": "u\u0000", "path": "/"}]}`, []string{"/filesystems/0/uuid: NUL"}},
		{`{"filesystems": [{"uuid": "u", "path": "/", "freq": "x"}]}`, []string{": not a number"}},
		{`{"filesystems": [{"uuid": "u", "path": "/", "passno": -1}]}`, []string{": negative"}},
		{`{"filesystems": [{"uuid": "u", "path": "/", "passno": 1.5}]}`, []string{": not a whole number"}},
		{`{"filesystems": [{"uuid": "u", "path": "/", "passno": null}]}`, []string{": null"}},
	})
}

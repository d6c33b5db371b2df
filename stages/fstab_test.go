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
		{`{"filesystems": [{"uuid": "u\u0000", "path": "/"}]}`, []string{"/filesystems/0/uuid: control character"}},
		{`{"filesystems": [{"uuid": "u", "path": "/", "freq": "x"}]}`, []string{": not a number"}},
		{`{"filesystems": [{"uuid": "u", "path": "/", "passno": -1}]}`, []string{": negative"}},
		{`{"filesystems": [{"uuid": "u", "path": "/", "passno": 1.5}]}`, []string{": not a whole number"}},
		{`{"filesystems": [{"uuid": "u", "path": "/", "passno": null}]}`, []string{": null"}},
	})
}

func TestFstabOSTree(t *testing.T) {
	t.Parallel()
	const root, other = "ostree/deploy/iot/deploy/" + testCommit + ".0", "ostree/deploy/iot/deploy/" + testCommit + ".1"
	file, dir := treetest.File, treetest.Dir
	line := file("UUID=u\t/\tnone\tdefaults\t0\t0\n")
	one := treetest.Tree{root + "/etc/x": file("x"), "ostree/repo/refs/heads/a/b": file(testCommit + "\n"), "ostree/repo/refs/remotes/up/a": file(testCommit + "\n"), "etc": dir(0o755)}
	two := one.With(treetest.Tree{other + "/etc": dir(0o755)})
	options := func(deployment string) string {
		return `{"filesystems": [{"uuid": "u", "path": "/"}], "ostree": {"deployment": ` + deployment + `}}`
	}
	runCases(t, "org.osbuild.fstab", []treeCase{
		{name: "by reference", before: one, options: options(`{"osname": "iot", "ref": "a/b"}`), after: treetest.Tree{root + "/etc/fstab": line}},
		{name: "of a remote", before: one, options: options(`{"osname": "iot", "ref": "up:a", "serial": 0}`), after: treetest.Tree{root + "/etc/fstab": line}},
		{name: "by commit, the second", before: two, options: options(`{"osname": "iot", "ref": "` + testCommit + `", "serial": 1}`), after: treetest.Tree{other + "/etc/fstab": line}},
		{name: "the only one", before: one, options: options(`{"default": true}`), after: treetest.Tree{root + "/etc/fstab": line}},
		{name: "one of two", before: two, options: options(`{"default": true}`), err: "the deployment: the tree has 2"},
		{name: "none", before: treetest.Tree{"etc": dir(0o755)}, options: options(`{"default": true}`), err: "the deployment: the tree has none"},
		{name: "no reference", before: one, options: options(`{"osname": "iot", "ref": "c"}`), err: `no reference "c"`},
		{name: "another serial", before: one, options: options(`{"osname": "iot", "ref": "a/b", "serial": 7}`), err: "the tree has no /ostree/deploy/iot/deploy/" + testCommit + ".7"},
		{name: "a reference to nothing", before: one.With(treetest.Tree{"ostree/repo/refs/heads/a/b": file("x")}), options: options(`{"osname": "iot", "ref": "a/b"}`), err: "does not hold a commit"},
	})
	runChecks(t, "org.osbuild.fstab", []checkCase{
		{options(`{"default": true, "osname": "x"}`), []string{"/ostree/deployment: means the only"}},
		{options(`{"osname": "..", "ref": "../x"}`), []string{"/ostree/deployment/osname: is not the name", "/ostree/deployment/ref: is neither"}},
	})
}

package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
)

// hostileOptions makes every stage write as much as it can.
var hostileOptions = map[string][]string{
	"org.osbuildkit.attributes": {
		`{"paths": {"/etc/shadow": {"mode": "0640", "group": "shadow", "acl": "u:www:r--", "xattrs": {"user.a": "x", "user.b": null}},
			"/srv": {"user": "www", "default_acl": "g:shadow:rx", "recursive": true, "xattrs": {"security.selinux": "l"}}, "/usr/bin/ping": {"mode": "0755"}}}`,
	},
	"org.osbuild.fstab": {
		`{"filesystems": [{"uuid": "u", "path": "/"}]}`,
		`{"filesystems": [{"uuid": "u", "path": "/"}], "ostree": {"deployment": {"osname": "x", "ref": "a/b"}}}`,
	},
	"org.osbuild.groups":   {`{"groups": {"new": {}, "other": {"gid": 77}, "wheel": {}}, "force": true}`},
	"org.osbuild.hostname": {`{"hostname": "evil"}`},
	"org.osbuild.noop":     {`{}`},
	"org.osbuild.selinux": {
		`{"file_contexts": "etc/selinux/x/file_contexts", "force_autorelabel": true, "labels": {"/etc/shadow": "u:r:t:s0", "/usr/bin/vi": "u:r:t"}, "exclude_paths": ["/srv"]}`,
	},
	"org.osbuild.test": {`{"script": "/usr/bin/true"}`},
	"org.osbuild.grub2": {
		`{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}`,
		`{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "uefi": {"vendor": "v", "install": true}, "legacy": true}`,
		`{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "uefi": {"vendor": "w"}}`,
	},
	"org.osbuild.systemd": {
		`{"enabled_services": ["a"], "masked_services": ["b"], "masked_generators": ["g"], "default_target": "multi-user.target"}`,
		`{"disabled_services": ["d"]}`,
	},
	"org.osbuild.users": {
		`{"users": {"new": {"groups": ["wheel"], "home": "/home/new", "key": "k"}}}`,
		`{"users": {"old": {"gid": "wheel", "groups": [], "key": "k", "password": "plain", "force_password_reset": true}}}`,
	},
}

// hostileBase holds, by stage, a tree on which the stage succeeds.
var hostileBase = map[string]treetest.Tree{
	"org.osbuildkit.attributes": {
		"etc/passwd":   treetest.File("www:x:0:0::/:/bin/sh\n"),
		"etc/group":    treetest.File("shadow:x:0:\n"),
		"etc/shadow":   treetest.File("root:*:1::::::\n"),
		"srv/www/page": treetest.File("page"),
		"srv/www/link": treetest.Link("page"),
		"usr/bin/ping": treetest.File("ping"),
	},
	"org.osbuild.fstab": {
		"etc/fstab": treetest.File(""), "ostree/repo/refs/heads/a/b": treetest.File(testCommit + "\n"), "ostree/deploy/x/deploy/" + testCommit + ".0/etc": treetest.Dir(0o755),
	},
	"org.osbuild.groups": {
		"etc/group":      treetest.File("root:x:0:\nwheel:x:10:\n"),
		"etc/gshadow":    treetest.File("wheel:::\n"),
		"etc/login.defs": treetest.File("GID_MIN 1000\n"),
	},
	"org.osbuild.hostname": {"etc/hostname": treetest.File("x\n")},
	"org.osbuild.noop":     {"etc/hostname": treetest.File("x\n")},
	"org.osbuild.selinux": {
		"etc/selinux/x/file_contexts":           treetest.File("/.* u:r:a\n/etc/shadow -- u:r:b\n"),
		"etc/selinux/x/file_contexts.homedirs":  treetest.File("/home/.* u:r:h\n"),
		"etc/selinux/x/file_contexts.local":     treetest.File("/srv(/.*)? <<none>>\n"),
		"etc/selinux/x/file_contexts.subs":      treetest.File("/opt /usr\n"),
		"etc/selinux/x/file_contexts.subs_dist": treetest.File("/run /var/run\n"),
		"etc/shadow":                            treetest.File(""),
		"srv/a":                                 treetest.File(""),
		"usr/bin/vi":                            treetest.Link("vim"),
		"usr/bin/vim":                           treetest.File("vim"),
	},
	"org.osbuild.test": {"etc/systemd/system/multi-user.target.wants": treetest.Dir(0o755)},
	"org.osbuild.grub2": {
		"boot/vmlinuz-1":      treetest.File("kernel"),
		"boot/initrd.img-1":   treetest.File("initrd"),
		"boot/loader/entries": treetest.Dir(0o755),
		"boot/grub2/i386-pc":  treetest.Dir(0o755),
		"boot/grub2/grub.cfg": treetest.File(""),
		"boot/grub2/grubenv":  treetest.File(""),
		"boot/efi/EFI/w":      treetest.Dir(0o755),
		"etc/default/grub":    treetest.File(""),
		"usr/lib/os-release":  treetest.File("PRETTY_NAME=X\n"),
	},
	"org.osbuild.systemd": {
		"etc/systemd/system/multi-user.target.wants/d.service": treetest.Link("/usr/lib/systemd/system/d.service"),
		"etc/systemd/system/a.service.d":                       treetest.Dir(0o755),
		"usr/lib/systemd/system/a.service":                     treetest.File("[Install]\nWantedBy=multi-user.target\nAlias=z.service\n"),
		"usr/lib/systemd/system/d.service":                     treetest.File("[Install]\nWantedBy=multi-user.target\n"),
		"usr/lib/systemd/system/multi-user.target":             treetest.File("[Unit]\n"),
	},
	"org.osbuild.users": {
		"etc/passwd":                    treetest.File("root:x:0:0::/root:/bin/sh\nold:x:1000:1000::/home/old:/bin/sh\n"),
		"etc/shadow":                    treetest.File("root:*:1::::::\nold:!:1::::::\n"),
		"etc/group":                     treetest.File("root:x:0:\nwheel:x:10:\nold:x:1000:\n"),
		"etc/gshadow":                   treetest.File("wheel:::\n"),
		"etc/subuid":                    treetest.File(""),
		"etc/login.defs":                treetest.File("USERGROUPS_ENAB yes\nCREATE_HOME yes\n"),
		"etc/default/useradd":           treetest.File("CREATE_MAIL_SPOOL=yes\n"),
		"etc/skel/.profile":             treetest.File("skel"),
		"home/old/.ssh/authorized_keys": treetest.File("").Owner(1000, 1000),
		"home/old":                      treetest.Dir(0o755).Owner(1000, 1000),
		"var/spool/mail":                treetest.Dir(0o755),
	},
}

// hostileExtra are paths that do not exist in hostileBase and that the stage
// makes; with those of hostileBase and their parents they are replaced by
// something hostile, one at a time.
var hostileExtra = map[string][]string{
	"org.osbuild.selinux": {".autorelabel"},
	"org.osbuild.test":    {"etc/systemd/system/osbuild-test.service", "etc/systemd/system/multi-user.target.wants/osbuild-test.service"},
	"org.osbuild.grub2":   {"boot/grub2/fonts", "boot/grub2/i386-pc/linux.mod", "boot/efi/EFI/v", "boot/efi/EFI/w/grub.cfg", "boot/loader/entries/a.conf"},
	"org.osbuild.systemd": {"etc/systemd/system/default.target", "etc/systemd/system-generators", "etc/systemd/system/b.service", "etc/systemd/system/a.service.d/x.conf"},
	"org.osbuild.users":   {"home/new", "home/new/.ssh", "var/spool/mail/new"},
}

// hostilePrograms are the programs of the tree that a stage runs, hostileTools
// those of the build root, hostileInputs what it is given beside the tree.
var (
	hostilePrograms = map[string]string{"org.osbuild.script": "bin/sh", "org.osbuild.firewall": "usr/bin/" + firewallCmd}
	hostileTools    = map[string]map[string]string{}
	hostileInputs   = map[string]func(*testing.T) map[string]string{}
)

// hostileTree makes a tree with the program in it that a stage runs, and the
// build root with those that it runs there.
func hostileTree(t *testing.T, stage string, tree treetest.Tree, build string) string {
	t.Helper()
	dir := hostileDir(t, runsPrograms(stage))
	treetest.Write(t, dir, tree)
	if name := hostilePrograms[stage]; name != "" {
		standIn(t, dir, name)
	}
	for name, more := range hostileTools[stage] {
		fakeTool(t, build, name, strings.ReplaceAll(more, "TREE", dir))
	}
	return dir
}

// runsPrograms says whether a stage runs programs, which takes longer than all
// else that it does.
func runsPrograms(stage string) bool {
	return hostilePrograms[stage] != "" || hostileTools[stage] != nil
}

// hostileDir makes a directory for a tree: in memory where the machine has a
// place for that, as most of the time goes into making thousands of them. From
// there, programs cannot always be run.
func hostileDir(t *testing.T, programs bool) string {
	t.Helper()
	if !programs {
		if dir, err := os.MkdirTemp("/dev/shm", "osbuildkit-test-"); err == nil {
			t.Cleanup(func() { os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

func hostileTargets(stage string) []string {
	targets := map[string]bool{}
	names := slices.Collect(maps.Keys(hostileBase[stage]))
	for _, name := range append(names, hostileExtra[stage]...) {
		for ; name != "."; name = path.Dir(name) {
			targets[name] = true
		}
	}
	return slices.Sorted(maps.Keys(targets))
}

// buildRoot is a build root that the stage grub2 can use.
func buildRoot() treetest.Tree {
	return treetest.Tree{
		"usr/lib/grub/i386-pc/linux.mod":   treetest.File("linux"),
		"usr/lib/grub/i386-pc/command.lst": treetest.File("list"),
		"usr/lib/grub/i386-pc/fdt.lst":     treetest.File("no"),
		"usr/lib/grub/i386-pc/core.img":    treetest.File("no"),
		"usr/share/grub/unicode.pf2":       treetest.File("font"),
		"boot/efi/EFI/BOOT/BOOTX64.EFI":    treetest.File("shim"),
		"boot/efi/EFI/v/grubx64.efi":       treetest.File("grub"),
		"boot/efi/EFI/v/fonts/x.pf2":       treetest.File("font"),
	}
}

// hostileNodes are what stands in the place of a path; few are only those that
// lead out of the tree or block, as with -short.
func hostileNodes(outside, name string, few bool) map[string]treetest.Node {
	up := strings.Repeat("../", 40)
	nodes := map[string]treetest.Node{
		"absolute":  treetest.Link(outside),
		"relative":  treetest.Link(up + outside[1:]),
		"proc root": treetest.Link("/proc/self/root" + outside),
		"same name": treetest.Link(outside + "/" + name),
		"loop":      treetest.Link(name[strings.LastIndex(name, "/")+1:]),
		"fifo":      treetest.Fifo(),
	}
	if few || testing.Short() {
		return nodes
	}
	maps.Copy(nodes, map[string]treetest.Node{
		"proc cwd":       treetest.Link("/proc/self/cwd/" + up + outside[1:]),
		"directory":      treetest.Dir(0o755),
		"file":           treetest.File("garbage\x00:\n[Install\nAlias=/../x\nlinux ../../x\n"),
		"empty file":     treetest.File(""),
		"dangling":       treetest.Link("/nowhere/at/all"),
		"dots":           treetest.Link(".."),
		"root of system": treetest.Link("/"),
	})
	return nodes
}

func TestHostileTrees(t *testing.T) {
	t.Parallel()
	for _, m := range Modules() {
		if m.Internal() {
			continue // it does not see the tree
		}
		if len(hostileOptions[m.Name]) == 0 {
			t.Errorf("hostileOptions has no options for %s", m.Name)
		}
		for _, options := range hostileOptions[m.Name] {
			t.Run(m.Name, func(t *testing.T) {
				t.Parallel()
				outside := treetest.New(t, hostileBase[m.Name].With(treetest.Tree{
					"passwd": treetest.File("canary"), "canary": treetest.File("alive"),
				}))
				before := treetest.Read(t, outside)
				build := treetest.New(t, buildRoot())
				dir := hostileTree(t, m.Name, hostileBase[m.Name], build)
				if err := runBounded(t, &m, dir, build, options); err != nil {
					requireUsers(t, err)
					t.Fatalf("the stage fails on a good tree: %v", err)
				}
				for _, target := range hostileTargets(m.Name) {
					for what, node := range hostileNodes(outside, target, runsPrograms(m.Name)) {
						dir := hostileTree(t, m.Name, replace(hostileBase[m.Name], target, node), build)
						// It may succeed or fail; it may not block, panic or
						// touch what is outside.
						_ = runBounded(t, &m, dir, build, options)
						if t.Failed() {
							t.Fatalf("with %s as %s", target, what)
						}
						if err := os.RemoveAll(dir); err != nil {
							t.Fatal(err)
						}
					}
					if diff := treetest.Unchanged(before, treetest.Read(t, outside)); diff != "" {
						t.Fatalf("with %s as a link out of the tree: a directory outside has changed (-want +got):\n%s", target, diff)
					}
				}
			})
		}
	}
}

// requireUsers skips a test that gave files to another user without the right
// to do so.
func requireUsers(t *testing.T, err error) {
	t.Helper()
	if strings.Contains(err.Error(), "operation not permitted") {
		t.Skip("giving files to another user needs root")
	}
}

// replace puts a node at name and drops what was below it.
func replace(t treetest.Tree, name string, n treetest.Node) treetest.Tree {
	out := treetest.Tree{name: n}
	for p, old := range t {
		if p != name && !strings.HasPrefix(p, name+"/") {
			out[p] = old
		}
	}
	return out
}

// runBounded runs a stage and fails the test if it does not come to an end.
func runBounded(t *testing.T, m *module.Module, dir, build, options string) error {
	t.Helper()
	done := make(chan error, 1)
	ledger := t.TempDir()
	var inputs map[string]string
	if f := hostileInputs[m.Name]; f != nil {
		inputs = f(t)
	}
	go func() {
		var log bytes.Buffer
		done <- m.Run(context.Background(), &module.Input{
			Tree: dir, BuildRoot: build, Ledger: ledger, Inputs: inputs, Options: json.RawMessage(options), Epoch: testEpoch, Log: &log,
		})
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Errorf("%s does not come to an end", m.Name)
		return nil
	}
}

package stages

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
)

// bystanders are files that no stage has any business with, however much their
// names resemble those of files that it writes.
func bystanders() treetest.Tree {
	file, link := treetest.File, treetest.Link
	return treetest.Tree{
		"etc/hostname~": file("x"), "etc/hostname.d/a": file("a").Perm(0o600), "etc/fstab.bak": file("b").Owner(1, 2), "etc/passwd.rpmnew": file("p"),
		"etc/shadow.old": file("s").Perm(0o400), "etc/default/grub.d/x.cfg": file("x"), "etc/systemd/system/x.service.d/y.conf": file("y"),
		"etc/systemd/system/x.target.wants/x.service": link("/usr/lib/systemd/system/x.service"), "etc/sysconfig/network-scripts/ifcfg-lo": file("lo"),
		"boot/grub2/user.cfg": file("u"), "boot/efi/EFI/other/x.efi": file("e"), "boot/loader/loader.conf": file("l"),
		"usr/bin/setuid": file("u").Perm(0o755 | os.ModeSetuid), "usr/bin/hard": file("h"), "usr/share/empty": treetest.Dir(0o711).Owner(3, 4),
		"usr/share/dangling": link("nowhere"), "usr/share/out": link("/proc/self/root/etc"), "var/pipe": treetest.Fifo(),
		"var/lib/systemd/other-seed": file("o"), "home/other/.ssh/authorized_keys": file("k").Perm(0o600).Owner(9, 9), "opt/x": file("x"),
	}
}

// alsoMeant are directories that stages change on purpose: one that loses its
// last link, and one whose mode is that of the archive.
var alsoMeant = map[string]string{"org.osbuild.systemd": "etc/systemd/system/multi-user.target.wants", "org.osbuild.copy": "etc"}

// TestBystanders wants every stage that edits files to leave all others alone:
// content, mode, owner, time, links and the inode itself.
func TestBystanders(t *testing.T) {
	t.Parallel()
	for _, m := range Modules() {
		if m.Sandbox == module.Inside || m.Internal() {
			continue
		}
		for _, options := range hostileOptions[m.Name] {
			t.Run(m.Name, func(t *testing.T) {
				t.Parallel()
				build := treetest.New(t, buildRoot())
				dir := hostileTree(t, m.Name, bystanders().With(hostileBase[m.Name]), build)
				hard := filepath.Join(dir, "usr/bin/hard")
				if err := os.Link(hard, hard+"2"); err != nil {
					t.Fatal(err)
				}
				before, inode := treetest.Read(t, dir), inodes(t, dir)
				if err := runBounded(t, &m, dir, build, options); err != nil {
					requireUsers(t, err)
					t.Fatal(err)
				}
				meant := slices.Concat(slices.Collect(maps.Keys(hostileBase[m.Name])), hostileExtra[m.Name], []string{alsoMeant[m.Name]})
				after := treetest.Read(t, dir)
				for name := range after {
					if _, old := before[name]; !old {
						meant = append(meant, name)
					}
				}
				if diff := treetest.Unchanged(before, after, meant...); diff != "" {
					t.Errorf("other files have changed (-want +got):\n%s", diff)
				}
				now := inodes(t, dir)
				for name := range bystanders() {
					if !os.SameFile(inode[name], now[name]) {
						t.Errorf("%s is another file now", name)
					}
				}
			})
		}
	}
}

// inodes returns what tells files apart.
func inodes(t *testing.T, dir string) map[string]os.FileInfo {
	t.Helper()
	out := map[string]os.FileInfo{}
	for name := range bystanders() {
		st, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = st
	}
	return out
}

// TestWrongOptions takes options with which a stage succeeds, makes one value
// after the other wrong, and wants the tree to be as it was, to the time of each
// directory.
func TestWrongOptions(t *testing.T) {
	t.Parallel()
	for _, m := range Modules() {
		if m.Internal() || m.Name == "org.osbuild.noop" { // which takes anything
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			build := treetest.New(t, buildRoot())
			dir := hostileTree(t, m.Name, bystanders().With(hostileBase[m.Name]), build)
			before := treetest.Read(t, dir)
			wrong := []string{`{"no-such-option": true}`, `[]`, `"text"`, `{`}
			for _, options := range hostileOptions[m.Name] {
				var v any
				if err := json.Unmarshal([]byte(options), &v); err != nil {
					t.Fatal(err)
				}
				spoil(v, func(any) {}, func() {
					data, err := json.Marshal(v)
					if err != nil {
						t.Fatal(err)
					}
					wrong = append(wrong, string(data))
				})
			}
			for _, options := range wrong {
				if err := runBounded(t, &m, dir, build, options); err == nil {
					t.Errorf("%s: no error", options)
				}
				if diff := cmp.Diff(before, treetest.Read(t, dir)); diff != "" {
					t.Fatalf("%s: the tree has changed (-want +got):\n%s", options, diff)
				}
			}
			if len(wrong) < 5 && !strings.HasSuffix(m.Name, "remove-uniqueness") && !strings.HasSuffix(m.Name, "fix-bls") && !strings.HasSuffix(m.Name, "rpm-ostree") {
				t.Errorf("only %d wrong options were found: %q", len(wrong), wrong)
			}
		})
	}
}

// spoil replaces each value inside v that is no object or list by one that no
// option takes, calls then, and puts the value back.
func spoil(v any, set func(any), then func()) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			old := v[key]
			spoil(old, func(x any) { v[key] = x }, then)
			v[key] = old
		}
	case []any:
		for i, old := range v {
			spoil(old, func(x any) { v[i] = x }, then)
			v[i] = old
		}
	default:
		set(map[string]any{"wrong": []any{}})
		then()
	}
}

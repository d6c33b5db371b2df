package packages

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/module"
)

// makeTree makes a tree: a name that ends in a slash is a directory, a value
// that begins with "->" a link, everything else a file.
func makeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(file, 0o755)
		case strings.HasPrefix(text, "->"):
			err = os.Symlink(text[2:], file)
		default:
			err = os.WriteFile(file, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// contents lists the files and links of a tree, in the form of makeTree.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.Walk(root, func(name string, st os.FileInfo, err error) error {
		if err != nil || st.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		if target, err := os.Readlink(name); err == nil {
			out[rel] = "->" + target
			return nil
		}
		data, err := os.ReadFile(name)
		out[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNormalise(t *testing.T) {
	t.Parallel()
	sshd := map[string]string{"usr/sbin/sshd": "x", "usr/bin/ssh-keygen": "x", "usr/lib/systemd/systemd": "x"}
	unit := map[string]string{
		"etc/systemd/system/" + keyUnitName:                         keyUnit,
		"etc/systemd/system/multi-user.target.wants/" + keyUnitName: "->/etc/systemd/system/" + keyUnitName,
		"etc/systemd/system/ssh.service.wants/" + keyUnitName:       "->/etc/systemd/system/" + keyUnitName,
		"etc/systemd/system/ssh.socket.wants/" + keyUnitName:        "->/etc/systemd/system/" + keyUnitName,
	}
	const debianUnit = "[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=ssh-keygen -A\n"
	join := func(maps ...map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range maps {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	tests := []struct {
		name     string
		in, want map[string]string
	}{
		{
			"caches and logs",
			map[string]string{
				"var/cache/ldconfig/aux-cache": "x", "var/cache/apt/pkgcache.bin": "x", "var/cache/apt/archives/a.deb": "x",
				"var/lib/apt/lists/deb_x": "x", "var/lib/apt/lists/partial/y": "x", "var/lib/apt/extended_states": "keep",
				"var/log/dpkg.log": "x", "var/log/nginx/error.log": "x", "var/log/apt/history.log": "x", "var/log/apt/term.log.1.gz": "x", "var/log/apt/": "",
				"var/log/wtmp": "", "etc/ld.so.cache": "keep", "var/log/link": "->/etc/ld.so.cache",
				"var/lib/dpkg/status": "keep", "var/lib/dpkg/status-old": "x", "etc/passwd": "keep", "etc/passwd-": "x",
				"usr/lib/sysimage/rpm/rpmdb.sqlite": "keep", "usr/lib/sysimage/rpm/rpmdb.sqlite-wal": "", "etc/hosts": "keep",
			},
			map[string]string{
				"var/lib/apt/extended_states": "keep", "var/log/dpkg.log": "", "var/log/nginx/error.log": "", "var/log/wtmp": "",
				"etc/ld.so.cache": "keep", "var/log/link": "->/etc/ld.so.cache", "var/lib/dpkg/status": "keep", "etc/passwd": "keep",
				"usr/lib/sysimage/rpm/rpmdb.sqlite": "keep", "etc/hosts": "keep",
			},
		},
		{
			"identity of the machine",
			map[string]string{
				"etc/machine-id": strings.Repeat("a", 32) + "\n", "var/lib/dbus/machine-id": strings.Repeat("a", 32) + "\n",
				"etc/ssh/ssh_host_rsa_key": "secret", "etc/ssh/ssh_host_rsa_key.pub": "public", "etc/ssh/sshd_config": "keep",
				"var/lib/systemd/random-seed": "x", "etc/ssl/private/ssl-cert-snakeoil.key": "secret",
			},
			map[string]string{"etc/machine-id": "", "etc/ssh/sshd_config": "keep"},
		},
		{"machine-id as systemd wants it", map[string]string{"etc/machine-id": "uninitialized\n"}, map[string]string{"etc/machine-id": "uninitialized\n"}},
		{"dbus links to it", map[string]string{"etc/machine-id": "", "var/lib/dbus/machine-id": "->/etc/machine-id"}, map[string]string{"etc/machine-id": "", "var/lib/dbus/machine-id": "->/etc/machine-id"}},
		{"unit for host keys", sshd, join(sshd, unit)},
		{
			"the unit of Debian 13 does not run where machine-id is empty",
			join(sshd, map[string]string{"usr/lib/systemd/system/sshd-keygen.service": debianUnit}),
			join(sshd, unit, map[string]string{"usr/lib/systemd/system/sshd-keygen.service": debianUnit}),
		},
		{
			"a unit that always runs is enough",
			join(sshd, map[string]string{"usr/lib/systemd/system/sshd-keygen@.service": "[Service]\nExecStart=/x %i\n"}),
			join(sshd, map[string]string{"usr/lib/systemd/system/sshd-keygen@.service": "[Service]\nExecStart=/x %i\n"}),
		},
		{"no systemd, no unit", map[string]string{"usr/sbin/sshd": "x", "usr/bin/ssh-keygen": "x"}, map[string]string{"usr/sbin/sshd": "x", "usr/bin/ssh-keygen": "x"}},
		{
			"links are not followed",
			map[string]string{"var/log": "->../etc", "etc/keep": "keep", "var/cache/apt": "->/etc/x", "etc/x/a.bin": "keep"},
			map[string]string{"var/log": "->../etc", "etc/keep": "keep", "var/cache/apt": "->/etc/x", "etc/x/a.bin": "keep"},
		},
		{"empty tree", nil, map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 && tt.name != "caches and logs" {
				t.Skip("setting owners takes root")
			}
			root := makeTree(t, tt.in)
			for range 2 {
				if err := normalise(context.Background(), &module.Input{Tree: root, Epoch: testEpoch}); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, contents(t, root)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestClampTimes(t *testing.T) {
	t.Parallel()
	root := makeTree(t, map[string]string{"a/old": "x", "a/new": "x", "a/link": "->new", "b/": ""})
	old := time.Unix(testEpoch-1000, 500)
	if err := os.Chtimes(filepath.Join(root, "a/old"), old, old); err != nil {
		t.Fatal(err)
	}
	if err := normalise(context.Background(), &module.Input{Tree: root, Epoch: testEpoch}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]time.Time{"a/old": old, "a/new": time.Unix(testEpoch, 0), "a/link": time.Unix(testEpoch, 0), "a": time.Unix(testEpoch, 0), "b": time.Unix(testEpoch, 0), ".": time.Unix(testEpoch, 0)} {
		st, err := os.Lstat(filepath.Join(root, name))
		if err != nil || !st.ModTime().Equal(want) {
			t.Errorf("%s: %v, %v, want %v", name, st.ModTime(), err, want)
		}
	}
}

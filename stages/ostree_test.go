package stages

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
)

const testCommit = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestRPMOSTree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, options string
		before        treetest.Tree
		treefile      string
	}{
		{"none", `{}`, treetest.Tree{"etc/x": treetest.File("")}, `{"ref":"osbuild/devel","boot-location":"new","machineid-compat":false,"etc-group-members":[]}`},
		{"all", `{"etc_group_members": ["wheel"], "initramfs-args": ["--no-hostonly"]}`, treetest.Tree{"etc/machine-id": treetest.File("")},
			`{"ref":"osbuild/devel","boot-location":"new","machineid-compat":true,"etc-group-members":["wheel"],"initramfs-args":["--no-hostonly"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, build := treetest.New(t, c.before), t.TempDir()
			fakeTool(t, build, "rpm-ostree", `cp "$4" `+build+`/treefile`)
			if _, err := runStageIn(t, "org.osbuild.rpm-ostree", dir, build, c.options); err != nil {
				t.Fatal(err)
			}
			got := calls(t, build, dir, "TREE")
			if len(got) != 1 || !strings.HasPrefix(got[0], "rpm-ostree compose postprocess TREE /") {
				t.Errorf("calls %q", got)
			}
			data, err := os.ReadFile(filepath.Join(build, "treefile"))
			if err != nil || string(data) != c.treefile {
				t.Errorf("the treefile is %s, %v", data, err)
			}
		})
	}
	dir := t.TempDir()
	if _, err := runStageIn(t, "org.osbuild.rpm-ostree", dir, t.TempDir(), `{}`); err == nil || !strings.Contains(err.Error(), "there is no program rpm-ostree in the build root: install rpm-ostree") {
		t.Errorf("error %v", err)
	}
	build := t.TempDir()
	fakeTool(t, build, "rpm-ostree", "echo no namespaces; exit 3")
	if _, err := runStageIn(t, "org.osbuild.rpm-ostree", dir, build, `{}`); err == nil || !strings.Contains(err.Error(), "exit status 3\nno namespaces") {
		t.Errorf("error %v", err)
	}
	runChecks(t, "org.osbuild.rpm-ostree", []checkCase{
		{`{}`, nil},
		{`{"etc_group_members": ["a:b", ""], "initramfs-args": [""]}`, []string{"/etc_group_members/0: name of a group", "/etc_group_members/1: name", "/initramfs-args/0: argument"}},
	})
}

func TestOSTree(t *testing.T) {
	t.Parallel()
	dir, build, input := t.TempDir(), t.TempDir(), t.TempDir()
	state := filepath.Join(dir, "ostree/deploy/iot")
	// What the program leaves behind, as far as the stage goes on with it.
	fakeTool(t, build, "ostree", `case "$*" in
*" deploy "*) mkdir -p `+state+`/var `+state+`/deploy/`+testCommit+`.0/var;;
*--gpg-import=*) for a; do case $a in --gpg-import=*) cp "${a#*=}" `+build+`/keys;; esac; done;;
esac`)
	fakeTool(t, build, "systemd-tmpfiles", `mkdir `+state+`/deploy/`+testCommit+`.0/var/home; exit 73`)
	options := `{"commit": "` + testCommit + `", "osname": "iot", "ref": "a/b", "rootfs": {"label": "root"}, "kernel_opts": ["ro", "quiet"],
		"mounts": [{"path": "/boot", "mode": 493}, {"path": "/boot/efi", "mode": 448}, {"path": "/v", "mode": 1023}],
		"remotes": [{"name": "up", "url": "https://example.org/repo", "branches": ["a/b"], "gpgkeys": ["KEY1", "KEY2"]}, {"name": "plain", "url": "http://example.org/"}],
		"populate_var": true}`
	in := &module.Input{Tree: dir, BuildRoot: build, Inputs: map[string]string{"commits": input}, Options: json.RawMessage(options), Epoch: testEpoch}
	if err := module.Find(Modules(), "org.osbuild.ostree").Run(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	got := calls(t, build, dir, "TREE", input, "INPUT", testCommit, "COMMIT")
	for i, c := range got {
		if before, _, ok := strings.Cut(c, "--gpg-import="); ok {
			got[i] = before + "KEYS" + c[strings.Index(c, " up "):]
		}
	}
	want := []string{
		"ostree admin init-fs --modern TREE --sysroot=TREE",
		"ostree pull-local --repo=TREE/ostree/repo INPUT/repo COMMIT",
		"ostree refs --repo=TREE/ostree/repo --create=a/b COMMIT",
		"ostree admin os-init --sysroot=TREE iot",
		"ostree admin deploy --sysroot=TREE --os=iot --karg=root=LABEL=root --karg-append=ro --karg-append=quiet a/b",
		"ostree remote add --repo=TREE/ostree/repo KEYS up https://example.org/repo a/b",
		"ostree remote add --repo=TREE/ostree/repo --no-gpg-verify plain http://example.org/",
	}
	last := "systemd-tmpfiles --create --boot --root=TREE/ostree/deploy/iot/deploy/COMMIT.0"
	for _, d := range varDirs {
		last += " --prefix=/var/" + d
	}
	want = append(want, last)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	after := treetest.Read(t, dir)
	for name, mode := range map[string]fs.FileMode{
		"boot": 0o755, "boot/efi": 0o700, "v": 0o777 | fs.ModeSticky, "ostree/deploy/iot/var/home": 0o755, "ostree/deploy/iot/var/log": 0o755,
		"ostree/deploy/iot/deploy/" + testCommit + ".0/var": 0o755,
	} {
		if n, ok := after[name]; !ok || n.Mode != fs.ModeDir|mode {
			t.Errorf("%s is %v", name, n.Mode)
		}
	}
	if keys, err := os.ReadFile(filepath.Join(build, "keys")); err != nil || string(keys) != "KEY1\nKEY2\n" {
		t.Errorf("keys %q, %v", keys, err)
	}
}

func TestOSTreeFetch(t *testing.T) {
	t.Parallel()
	build, out := t.TempDir(), t.TempDir()
	fakeTool(t, build, "ostree", `case "$*" in *pull*) echo error: no such commit; exit $(cat `+build+`/code);; esac`)
	run := func(code, remote string) error {
		if err := os.WriteFile(filepath.Join(build, "code"), []byte(code), 0o644); err != nil {
			t.Fatal(err)
		}
		return module.Find(Modules(), OSTreeFetch).Run(context.Background(), &module.Input{
			Tree: t.TempDir(), BuildRoot: build, OutputDir: out, Options: json.RawMessage(`{"commit": "` + testCommit + `", "remote": ` + remote + `}`),
		})
	}
	if err := run("0", `{"url": "http://example.org/r", "contenturl": "mirrorlist=https://example.org/m"}`); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ostree init --repo=OUT/repo --mode=archive",
		"ostree remote add --repo=OUT/repo --contenturl=mirrorlist=https://example.org/m --no-gpg-verify origin http://example.org/r",
		"ostree pull --repo=OUT/repo origin COMMIT",
		"ostree remote delete --repo=OUT/repo origin",
	}
	if diff := cmp.Diff(want, calls(t, build, out, "OUT", testCommit, "COMMIT")); diff != "" {
		t.Error(diff)
	}
	for remote, want := range map[string]string{
		`{"url": "http://example.org/r"}`:                     "fetching the commit " + testCommit + " from http://example.org/r: ",
		`{"url": "file:///etc"}`:                              "is not an http or https address",
		`{"url": "https://example.org/r", "secrets": {}}`:     "client certificate",
		`{"url": "https://example.org/r", "contenturl": "x"}`: "/remote/contenturl",
	} {
		if err := run("1", remote); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", remote, err)
		}
	}
}

func TestOSTreeCheck(t *testing.T) {
	t.Parallel()
	o := func(more string) string { return `{"commit": "` + testCommit + `", "osname": "iot"` + more + `}` }
	runChecks(t, "org.osbuild.ostree", []checkCase{
		{o(``), nil},
		{o(`, "ref": "fedora/33/x86_64/iot", "rootfs": {"uuid": "x"}, "mounts": [{"path": "/boot"}]`), nil},
		{`{"commit": "0123", "osname": ".."}`, []string{"/commit: is not a commit", "/osname: cannot be"}},
		{o(`, "ref": "-x", "rootfs": {}, "kernel_opts": [" "]`), []string{"/kernel_opts/0: is not an option", "/ref: is not a reference", "/rootfs: give either"}},
		{o(`, "mounts": [{"path": "boot", "mode": 99999}]`), []string{"/mounts/0/mode: 99999 is not a mode", "/mounts/0/path: is not an absolute"}},
		{o(`, "remotes": [{"name": "a", "url": "https://a.example.org/"}, {"name": "b", "url": "https://a.example.org/"}, {"name": "a", "url": "https://b.example.org/"}]`),
			[]string{"/remotes/2/name: there is a remote \"a\" before"}},
		{o(`, "remotes": [{"name": "-a", "url": "ftp://x", "branches": ["../x"]}]`),
			[]string{"/remotes/0/branches/0: is not a reference", "/remotes/0/name: is not the name", "/remotes/0/url: is not an address"}},
	})
}

package stages

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/hostiletest"
	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
)

// textOptions has for each stage options in which every text is given that goes
// into a configuration or onto a command line.
var textOptions = map[string][]string{
	"org.osbuildkit.attributes": {
		`{"paths": {"/srv": {"user": "www", "group": "shadow", "acl": "u:www:r--", "default_acl": "g:shadow:rx", "xattrs": {"user.a": "x"}}, "/usr/bin/ping": {"capabilities": "cap_net_raw=ep"}}}`,
	},
	"org.osbuildkit.grow": {`{"path": "/srv"}`},
	"org.osbuild.chrony": {
		`{"timeservers": ["a"]}`,
		`{"servers": [{"hostname": "b"}], "leapsectz": "right/UTC", "refclocks": [{"driver": {"name": "SOCK", "path": "/run/a"}}, {"driver": {"name": "PPS", "device": "/dev/pps0"}}, {"driver": {"name": "SHM", "segment": 0, "perm": "0660"}}]}`,
	},
	"org.osbuild.copy":        {`{"source": {"type": "archive", "checksum": "` + sha256Of(copyArchive) + `"}, "paths": [{"from": "/etc", "to": "/srv/"}]}`},
	"org.osbuild.debug-shell": {`{"tty": "/dev/tty9"}`},
	"org.osbuild.firewall": {
		`{"ports": ["80:tcp"], "enabled_services": ["ssh"], "disabled_services": ["http"], "default_zone": "public", "zones": [{"name": "home", "sources": ["192.0.2.0/24"]}]}`,
	},
	"org.osbuild.first-boot": {`{"commands": ["/bin/true a"]}`},
	"org.osbuild.fix-bls":    {`{"prefix": "/boot"}`},
	"org.osbuild.fstab": {
		`{"filesystems": [{"device": "/dev/vda1", "path": "/", "vfs_type": "ext4", "options": "ro"}, {"uuid": "u", "path": "/a"}, {"label": "l", "path": "/b"}, {"partlabel": "p", "path": "/c"}]}`,
		`{"filesystems": [{"uuid": "u", "path": "/"}], "ostree": {"deployment": {"osname": "x", "ref": "a/b"}}}`,
	},
	"org.osbuild.groups": {`{"groups": {"new": {}, "wheel": {}}}`},
	"org.osbuild.grub2": {
		`{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "boot_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaead", "kernel_opts": "quiet", "uefi": {"vendor": "v", "install": true}, "legacy": "i386-pc", "saved_entry": "e",
			"config": {"default": "saved", "serial": "serial --unit=0", "terminal": ["console"], "terminal_input": ["console"], "terminal_output": ["console"], "timeout_style": "menu"}}`,
		`{"rootfs": {"label": "root"}, "bootfs": {"label": "boot"}}`,
	},
	"org.osbuild.hostname":       {`{"hostname": "web"}`},
	"org.osbuild.ignition":       {`{"network": ["ip=dhcp"]}`},
	"org.osbuild.kernel-cmdline": {`{"kernel_opts": "quiet", "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}`},
	"org.osbuild.keymap":         {`{"keymap": "de", "font": "eurlatgr", "x11-keymap": {"layouts": ["de"]}}`},
	"org.osbuild.locale":         {`{"language": "C.UTF-8"}`},
	"org.osbuild.ostree": {
		`{"commit": "` + testCommit + `", "osname": "x", "ref": "a/b", "rootfs": {"label": "l"}, "kernel_opts": ["a=b"], "mounts": [{"path": "/boot/efi"}],
			"remotes": [{"name": "r", "url": "https://example.org/repo", "branches": ["a/b"]}]}`,
		`{"commit": "` + testCommit + `", "osname": "x", "rootfs": {"uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}}`,
	},
	"org.osbuild.rpm-ostree": {`{"etc_group_members": ["wheel"], "initramfs-args": ["--no-hostonly"]}`},
	"org.osbuild.selinux":    {`{"file_contexts": "etc/selinux/x/file_contexts", "labels": {"/etc/shadow": "u:r:t:s0"}, "exclude_paths": ["/srv"]}`},
	"org.osbuild.sysconfig": {
		`{"kernel": {"default_kernel": "kernel-core"}, "network-scripts": {"ifcfg": {"eth0": {"bootproto": "dhcp", "device": "eth0", "type": "Ethernet"}}}, "livesys": {"session": "gnome"},
			"desktop": {"preferred": "gnome", "displaymanager": "/usr/sbin/lightdm"}}`,
	},
	"org.osbuild.systemd":  {`{"enabled_services": ["a"], "masked_services": ["b"], "masked_generators": ["g"], "default_target": "multi-user.target"}`, `{"disabled_services": ["d"]}`},
	"org.osbuild.test":     {`{"script": "/usr/bin/true"}`},
	"org.osbuild.timezone": {`{"zone": "Europe/Berlin"}`},
	"org.osbuild.users": {
		`{"users": {"new": {"groups": ["wheel"], "gid": "old", "home": "/home/new", "shell": "/bin/sh", "description": "A", "key": "ssh-ed25519 AAAA a", "keys": ["ssh-ed25519 AAAA b"], "password": "!"}}}`,
		`{"users": {"old": {"password": "plain", "description": "B"}}}`, `{"users": {"old": {"password": "x", "password_hashed": true}}}`,
	},
}

// textless are stages without a text that goes anywhere, or whose text is the
// program itself.
var textless = map[string]string{
	"org.osbuild.error": "it fails", "org.osbuild.noop": "it does nothing", "org.osbuild.remove-uniqueness": "no options", "org.osbuild.rhsm": "flags",
	"org.osbuild.zipl": "a number", "org.osbuild.script": "the text is a program of the author",
}

// TestHostileText puts line ends, quotes, commands and separators into every text
// of every stage. Either the stage refuses it, or what it writes has no line, field
// or command that was not meant.
func TestHostileText(t *testing.T) {
	t.Parallel()
	for _, m := range Modules() {
		if m.Internal() || textless[m.Name] != "" {
			continue
		}
		if len(textOptions[m.Name]) == 0 {
			t.Errorf("textOptions has nothing for %s", m.Name)
		}
		for i, options := range textOptions[m.Name] {
			t.Run(fmt.Sprint(m.Name, i), func(t *testing.T) {
				t.Parallel()
				hostiletest.Each(t, &m, options, hostiletest.Texts, func(at, hostile string, changed json.RawMessage) {
					checkHostileText(t, &m, at, hostile, changed)
				})
			})
		}
	}
}

func checkHostileText(t *testing.T, m *module.Module, at, hostile string, options json.RawMessage) {
	t.Helper()
	if m.Sandbox != module.Edit {
		// What it runs is given words, and no shell reads them.
		if strings.ContainsAny(hostile, "\n\r\x00") || strings.HasPrefix(hostile, "-") && m.Name == "org.osbuild.ostree" && !strings.Contains(at, "kernel_opts") && !strings.Contains(at, "rootfs") {
			t.Errorf("%s accepts %q at %s", m.Name, hostile, at)
		}
		return
	}
	dir := hostileTree(t, m.Name, hostileBase[m.Name], "")
	defer os.RemoveAll(dir)
	before := treetest.Read(t, dir)
	if err := runBounded(t, m, dir, treetest.New(t, buildRoot()), string(options)); err != nil {
		return
	}
	for name, node := range treetest.Read(t, dir) {
		if node.Data == before[name].Data || !node.Mode.IsRegular() {
			continue
		}
		for problem := range injected(t, name, node.Data) {
			t.Errorf("%s with %q at %s: /%s: %s:\n%s", m.Name, hostile, at, name, problem, node.Data)
		}
	}
}

// injected says what in a file was not meant.
func injected(t *testing.T, name, text string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	if strings.ContainsAny(text, "\x00\r") {
		found["a NUL byte or a carriage return"] = true
	}
	fields := map[string]int{"etc/passwd": 7, "etc/shadow": 9, "etc/group": 4, "etc/gshadow": 4, "etc/subuid": 3}[name]
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch first := strings.TrimLeft(line, " \t"); {
		case strings.HasPrefix(first, "INJECTED"), strings.HasPrefix(first, "[INJECTED"):
			found["a line of its own"] = true
		case fields > 0 && strings.Count(line, ":") != fields-1:
			found["another number of fields"] = true
		case name == "etc/fstab" && len(strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })) != 6:
			found["another number of fields"] = true
		case isUnit(name) && strings.HasSuffix(line, `\`) && !strings.HasSuffix(line, `\\`):
			found["a line that goes on with the next"] = true
		}
	}
	switch {
	case path.Base(name) == "grub.cfg" || name == "boot/ignition.firstboot":
		if grubRuns(text, "INJECTED") {
			found["a command of GRUB"] = true
		}
	case strings.HasPrefix(name, "etc/default/"), strings.HasPrefix(name, "etc/sysconfig/"), name == vconsoleFile, name == localeFile:
		if shellRuns(t, text) {
			found["a command of the shell"] = true
		}
	}
	return found
}

func isUnit(name string) bool {
	return slices.Contains([]string{".service", ".target", ".mount"}, path.Ext(name))
}

// shellRuns lets a shell read a file, as those do that use it.
func shellRuns(t *testing.T, text string) bool {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "INJECTED() { : >ran; }; . ./file")
	cmd.Dir, cmd.Env = dir, []string{"PATH=/nowhere"}
	out, err := cmd.CombinedOutput()
	_, ran := os.Stat(filepath.Join(dir, "ran"))
	if err != nil && ran != nil {
		t.Errorf("a shell cannot read it: %v: %s:\n%s", err, out, text)
	}
	return ran == nil
}

// grubRuns reports whether a word is the first one of a command of GRUB's.
func grubRuns(text, word string) bool {
	quote, command, escaped := byte(0), "", false
	for i := range len(text) {
		c := text[i]
		switch {
		case escaped:
			escaped = false
			command += string(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'':
			escaped = true
		case quote != 0:
			command += string(c)
		case c == '"' || c == '\'':
			quote = c
			command += "\x01"
		case strings.IndexByte("\n;|&{}", c) >= 0:
			if strings.HasPrefix(strings.TrimSpace(command), word) {
				return true
			}
			command = ""
		default:
			command += string(c)
		}
	}
	return quote != 0 || strings.HasPrefix(strings.TrimSpace(command), word)
}

func TestInjectedFindsThem(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"etc/passwd": "a:x:0:0::/:/bin/sh:INJECTED\n", "etc/x": "a\nINJECTED=1\n", "etc/y": "a\x00", "etc/fstab": "a b c\n", "etc/a.service": "[Unit]\nA=b\\\n",
		"boot/grub2/grub.cfg": "set a='b'; INJECTED\n", "boot/ignition.firstboot": "set a='b\n", "etc/default/grub": "A=\"$(INJECTED)\"\n", "etc/locale.conf": "LANG=x; INJECTED\n",
	} {
		if len(injected(t, name, text)) == 0 {
			t.Errorf("%s: %q", name, text)
		}
	}
	for name, text := range map[string]string{
		"etc/passwd": "a:x:0:0::/:/bin/sh\n", "boot/grub2/grub.cfg": "set a='b; INJECTED'\nlinux \"a\\\"; INJECTED\" {\n}\n", "etc/default/grub": "A=\"\\$(INJECTED)\"\n",
	} {
		if found := injected(t, name, text); len(found) > 0 {
			t.Errorf("%s: %q: %v", name, text, found)
		}
	}
}

// TestHostileTextOfTree has texts of the tree go into what a stage writes.
func TestHostileTextOfTree(t *testing.T) {
	t.Parallel()
	file := treetest.File
	debian := treetest.Tree{"usr/lib/os-release": file("ID=debian\nVERSION_ID=13\n"), "var/lib/dpkg/status": file("")}
	const grub = `{"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}`
	kernel := treetest.Tree{"boot/vmlinuz-1": file("k"), "boot/initrd.img-1": file("i"), "boot/grub2/grub.cfg": file("")}
	entry := func(text string) treetest.Tree {
		return kernel.With(treetest.Tree{"boot/loader/entries/a.conf": file("linux /vmlinuz-1\n" + text)})
	}
	for _, c := range []struct {
		name, stage, options string
		tree                 treetest.Tree
		wrong                string // empty if the stage works, and writes nothing hostile
	}{
		{"a home with a colon", "org.osbuild.users", `{"users": {"new": {}}}`,
			accountsTree().With(treetest.Tree{"etc/default/useradd": file("HOME=/home:INJECTED\n")}), "cannot stand in a field of /etc/passwd"},
		{"a shell with colons", "org.osbuild.users", `{"users": {"new": {}}}`,
			accountsTree().With(treetest.Tree{"etc/default/useradd": file("SHELL=/bin/sh:INJECTED\n")}), "SHELL"},
		{"a home of quotes", "org.osbuild.users", `{"users": {"new": {}}}`,
			accountsTree().With(treetest.Tree{"etc/default/useradd": file("HOME=/srv\"$(INJECTED)\n")}), ""},
		{"keyboard options in single quotes", "org.osbuild.keymap", `{"keymap": "us", "x11-keymap": {"layouts": ["us", "de"]}}`,
			debian.With(treetest.Tree{"etc/default/keyboard": file("XKBOPTIONS='a\"; INJECTED; \"$(INJECTED)`INJECTED`'\n")}), ""},
		{"a title that ends", "org.osbuild.grub2", grub, entry("title a\x00b\noptions ro\n"), "control character"},
		{"options that end", "org.osbuild.grub2", grub, entry("title a\noptions ro\x00'\n"), "control character"},
		{"a title of quotes", "org.osbuild.grub2", grub, entry("title a'; INJECTED; '\noptions ro '; INJECTED; ' \"; INJECTED; \" $(INJECTED) \\\n"), ""},
		{"a system of quotes", "org.osbuild.grub2", grub,
			kernel.With(treetest.Tree{"usr/lib/os-release": file("PRETTY_NAME=\"X'; INJECTED; '\"\n")}), ""},
		{"a kernel of quotes", "org.osbuild.grub2", grub, kernel.With(treetest.Tree{"boot/vmlinuz-1'; INJECTED; '": file("k")}), ""},
		{"a kernel of two lines", "org.osbuild.grub2", grub, kernel.With(treetest.Tree{"boot/vmlinuz-1\nINJECTED": file("k")}), ""},
		{"a distributor of two lines", "org.osbuild.grub2", grub,
			kernel.Without("boot/grub2/grub.cfg").With(debian, treetest.Tree{"etc/default/grub": file("GRUB_DISTRIBUTOR=x\\\nINJECTED\n")}), ""},
		{"a host name of two lines", "org.osbuild.hostname", `{"hostname": "web"}`, treetest.Tree{"etc/hostname": file("a\nINJECTED\n"), "etc/hosts": file("127.0.1.1 a\n")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := module.Find(Modules(), c.stage)
			dir := treetest.New(t, c.tree)
			before := treetest.Read(t, dir)
			err := runBounded(t, m, dir, treetest.New(t, buildRoot()), c.options)
			if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) || c.wrong == "" && err != nil {
				t.Fatalf("error %v, want %q", err, c.wrong)
			}
			changed := 0
			for name, node := range treetest.Read(t, dir) {
				if node.Data == before[name].Data || !node.Mode.IsRegular() {
					continue
				}
				changed++
				for problem := range injected(t, name, node.Data) {
					t.Errorf("/%s: %s:\n%s", name, problem, node.Data)
				}
			}
			if (changed == 0) != (c.wrong != "") {
				t.Errorf("%d files are changed", changed)
			}
		})
	}
}

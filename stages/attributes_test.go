package stages

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

func attributesTree() treetest.Tree {
	return treetest.Tree{
		"etc/passwd":  treetest.File("root:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:/bin/sh\nbad:x:-1:0::/:\n"),
		"etc/group":   treetest.File("root:x:0:\nadm:x:4:\n"),
		"etc/shadow":  treetest.File("s").Perm(0o600),
		"srv/a/f":     treetest.File("f").Perm(0o640),
		"srv/a/link":  treetest.Link("f"),
		"srv/a/pipe":  treetest.Fifo().Perm(0o600),
		"srv/up":      treetest.Link("../etc/shadow"),
		"srv/nowhere": treetest.Link("/missing"),
	}
}

// runWithLedger runs the stage and returns the text of the ledger.
func runWithLedger(t *testing.T, dir, ledgerDir, options string) (string, error) {
	t.Helper()
	m := module.Find(Modules(), "org.osbuildkit.attributes")
	err := m.Run(context.Background(), &module.Input{Tree: dir, Ledger: ledgerDir, Options: json.RawMessage(options), Epoch: testEpoch, Log: new(bytes.Buffer)})
	data, readErr := os.ReadFile(filepath.Join(ledgerDir, ledger.FileName))
	if readErr != nil && !os.IsNotExist(readErr) {
		t.Fatal(readErr)
	}
	_, text, _ := strings.Cut(string(data), "\n")
	return text, err
}

// aclText is a list of the ledger; ids are in the form XX%00%00%00 or none.
func aclText(entries ...string) string {
	text := "%02%00%00%00"
	for _, e := range entries {
		f := strings.Fields(e)
		id := "%FF%FF%FF%FF"
		if len(f) == 3 {
			id = f[2] + "%00%00%00"
		}
		text += "%" + f[0] + "%00%" + f[1] + "%00" + id
	}
	return text
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	shadowACL := aclText("01 06", "02 04 !", "04 00", "10 04", "20 00")
	for _, tt := range []struct {
		name, before, options string
		after                 treetest.Tree
		ledger, err           string
	}{
		{name: "modes", options: `{"paths": {"/etc/shadow": {"mode": "4750"}, "/srv/a": {"mode": "1777"}}}`,
			after: treetest.Tree{"etc/shadow": treetest.File("s").Perm(0o750 | os.ModeSetuid), "srv/a": treetest.Dir(0o777 | os.ModeSticky)}},
		{name: "extended attributes", before: "/etc/shadow\n user.gone x\n user.kept y\n",
			options: `{"paths": {"/etc/shadow": {"xattrs": {"user.gone": null, "user.none": null, "security.selinux": "l\u0000", "user.bin": {"base64": "/wA="}}}}}`,
			ledger:  "/etc/shadow\n security.selinux l%00\n user.bin %FF%00\n user.kept y\n"},
		{name: "through a link", options: `{"paths": {"/srv/up": {"xattrs": {"user.a": ""}}}}`, ledger: "/etc/shadow\n user.a \n"},
		{name: "list", options: `{"paths": {"/etc/shadow": {"acl": "u:www-data:r--"}}}`,
			after: treetest.Tree{"etc/shadow": treetest.File("s").Perm(0o640)}, ledger: "/etc/shadow\n system.posix_acl_access " + shadowACL + "\n"},
		{name: "list by number with all", options: `{"paths": {"/etc/shadow": {"mode": "0777", "acl": "user:33:4, u::rw-  group::0\nmask:r,other::---"}}}`,
			after: treetest.Tree{"etc/shadow": treetest.File("s").Perm(0o640)}, ledger: "/etc/shadow\n system.posix_acl_access " + shadowACL + "\n"},
		{name: "list anew", before: "/etc/shadow\n system.posix_acl_access " + aclText("01 06", "02 07 A", "04 02", "10 07", "20 00") + "\n",
			options: `{"paths": {"/etc/shadow": {"acl": "u:33:r"}}}`,
			after:   treetest.Tree{"etc/shadow": treetest.File("s").Perm(0o660)},
			ledger:  "/etc/shadow\n system.posix_acl_access " + aclText("01 06", "02 04 !", "04 02", "10 06", "20 00") + "\n"},
		{name: "list that is only the mode", before: "/etc/shadow\n system.posix_acl_access " + shadowACL + "\n",
			options: `{"paths": {"/etc/shadow": {"acl": "g::r"}}}`, after: treetest.Tree{"etc/shadow": treetest.File("s").Perm(0o640)}},
		{name: "list removed", before: "/srv/a/f\n system.posix_acl_access " + shadowACL + "\n user.a b\n",
			options: `{"paths": {"/srv/a/f": {"acl": ""}}}`, after: treetest.Tree{"srv/a/f": treetest.File("f").Perm(0o600)}, ledger: "/srv/a/f\n user.a b\n"},
		{name: "recursive", options: `{"paths": {"/srv/a": {"recursive": true, "acl": "g:adm:r", "default_acl": "u:33:7", "xattrs": {"user.a": "x", "security.selinux": "l"}},
				"/srv/a/f": {"acl": "", "xattrs": {"user.a": null}}}}`,
			after: treetest.Tree{"srv/a/f": treetest.File("f").Perm(0o640), "srv/a/pipe": treetest.Fifo().Perm(0o640)},
			ledger: "/srv/a\n security.selinux l\n system.posix_acl_access " + aclText("01 07", "04 05", "08 04 %04", "10 05", "20 05") +
				"\n system.posix_acl_default " + aclText("01 07", "02 07 !", "04 05", "10 07", "20 05") + "\n user.a x\n" +
				"/srv/a/f\n security.selinux l\n/srv/a/link\n security.selinux l\n" +
				"/srv/a/pipe\n security.selinux l\n system.posix_acl_access " + aclText("01 06", "04 00", "08 04 %04", "10 04", "20 00") + "\n"},
		{name: "unknown user", before: "/x\n user.a b\n", options: `{"paths": {"/etc": {"mode": "0700"}, "/etc/shadow": {"user": "nobody"}}}`, ledger: "/x\n user.a b\n", err: `the tree has no user "nobody": name one of /etc/passwd`},
		{name: "bad number", options: `{"paths": {"/etc/shadow": {"user": "bad"}}}`, err: "invalid number"},
		{name: "unknown user of a list", options: `{"paths": {"/etc/shadow": {"acl": "u:nobody:r"}}}`, err: `acl: the tree has no user "nobody"`},
		{name: "the same user twice", options: `{"paths": {"/etc/shadow": {"acl": "u:33:r,u:www-data:w"}}}`, err: "are the same"},
		{name: "unknown group", options: `{"paths": {"/etc/shadow": {"group": "none"}}}`, err: `no group "none"`},
		{name: "missing", options: `{"paths": {"/etc/gone": {"mode": "0600"}}}`, err: "/etc/gone: there is no such file"},
		{name: "dangling", options: `{"paths": {"/srv/nowhere": {"mode": "0600"}}}`, err: "/srv/nowhere: there is no such file"},
		{name: "default of a file", options: `{"paths": {"/etc/shadow": {"default_acl": "u:33:r"}}}`, err: "only a directory"},
		{name: "capabilities of a directory", options: `{"paths": {"/etc": {"capabilities": "cap_chown+p"}}}`, err: "only a regular file"},
		{name: "user attribute of a pipe", options: `{"paths": {"/srv/a/pipe": {"xattrs": {"user.a": "x"}}}}`, err: "only regular files and directories"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, ledgerDir := treetest.New(t, attributesTree()), t.TempDir()
			if tt.before != "" {
				if err := os.WriteFile(filepath.Join(ledgerDir, ledger.FileName), []byte("osbuildkit ledger 1\n"+tt.before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := treetest.Read(t, dir)
			text, err := runWithLedger(t, dir, ledgerDir, tt.options)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.ledger, text); d != "" {
				t.Errorf("ledger: %s", d)
			}
			want := maps.Clone(before)
			maps.Copy(want, tt.after)
			if d := treetest.Diff(want, treetest.Read(t, dir)); d != "" {
				t.Errorf("tree: %s", d)
			}
		})
	}
}

func TestAttributesNeedALedger(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, attributesTree())
	if _, err := runStage(t, "org.osbuildkit.attributes", dir, `{"paths": {"/etc/shadow": {"xattrs": {"user.a": "x"}}}}`); err == nil || !strings.Contains(err.Error(), `no "ledger"`) {
		t.Error(err)
	}
	if _, err := runStage(t, "org.osbuildkit.attributes", dir, `{"paths": {"/etc/shadow": {"mode": "0644"}}}`); err != nil {
		t.Error(err)
	}
}

// TestOwnerAndCapabilities needs the right to give files away.
func TestOwnerAndCapabilities(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, attributesTree())
	run := func(options string) {
		t.Helper()
		if _, err := runWithLedger(t, dir, t.TempDir(), options); err != nil {
			if strings.Contains(err.Error(), "operation not permitted") {
				t.Skip("setting owners and capabilities needs root:", err)
			}
			t.Fatal(err)
		}
	}
	check := func(want string) {
		t.Helper()
		buf := make([]byte, 64)
		n, err := unix.Lgetxattr(filepath.Join(dir, "srv/a/f"), ledger.Capability, buf)
		if err != nil && err != unix.ENODATA || hex.EncodeToString(buf[:max(n, 0)]) != want {
			t.Errorf("capabilities %x, %v, want %s", buf[:max(n, 0)], err, want)
		}
	}
	const bind = "0100000200040000000000000000000000000000"
	run(`{"paths": {"/srv/a/f": {"mode": "6755", "capabilities": "cap_net_bind_service+ep"}}}`)
	check(bind)
	run(`{"paths": {"/srv": {"user": "www-data", "group": 4, "recursive": true}}}`)
	check(bind)
	got := treetest.Read(t, dir)
	if f := got["srv/a/f"]; f.Mode != 0o755|os.ModeSetuid|os.ModeSetgid || f.UID != 33 || f.GID != 4 {
		t.Errorf("file: %+v", f)
	}
	if l, s := got["srv/a/link"], got["etc/shadow"]; l.UID != 33 || s.UID != 0 {
		t.Errorf("a link was followed: %+v, %+v", l, s)
	}
	run(`{"paths": {"/srv/a/f": {"capabilities": ""}}}`)
	check("")
}

func TestAttributesCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuildkit.attributes", []checkCase{
		{`{"paths": {"/a": {"mode": "0640", "user": 0, "group": "adm", "xattrs": {"user.x": "y"}, "acl": "u:x:r", "capabilities": "=ep"}}}`, nil},
		{`{"paths": {"a": {}, "/a/../b": {}, "/a/": {}, "//": {}}}`, []string{"/paths/a: absolute path", "/paths/~1a~1: absolute path", "/paths/~1a~1..~1b: absolute path", "/paths/~1~1: absolute path"}},
		{`{"paths": {"/": {"mode": "88"}}}`, []string{"/paths/~1/mode: octal"}},
		{`{"paths": {"/a": {"mode": "00644"}}}`, []string{"/paths/~1a/mode: octal"}},
		{`{"paths": {"/a": {"user": 4294967295, "group": "a b"}}}`, []string{"/paths/~1a/group: neither", "/paths/~1a/user: too large"}},
		{`{"paths": {"/a": {"xattrs": {"security.capability": "x", "system.posix_acl_access": "x", "other": "x", "user.": "x"}}}}`, []string{
			"/paths/~1a/xattrs/other: not the name", "/paths/~1a/xattrs/security.capability: \"capabilities\"", "/paths/~1a/xattrs/system.posix_acl_access: \"acl\"", "/paths/~1a/xattrs/user.: not the name"}},
		{`{"paths": {"/a": {"xattrs": {"user.x": "` + strings.Repeat("x", 5000) + `"}}}}`, []string{"/paths/~1a/xattrs/user.x: 5000 bytes"}},
		{`{"paths": {"/a": {"xattrs": {"user.x": 3}}}}`, []string{": a text"}},
		{`{"paths": {"/a": {"xattrs": {"user.x": {}}}}}`, []string{": a text"}},
		{`{"paths": {"/a": {"xattrs": {"user.x": {"base64": "?"}}}}}`, []string{": not base64"}},
		{`{"paths": {"/a": {"recursive": true, "mode": "0644"}}}`, []string{"/paths/~1a/recursive: name the files"}},
		{`{"paths": {"/a": {"acl": "u:x"}}}`, []string{"/paths/~1a/acl: not an entry"}},
		{`{"paths": {"/a": {"acl": "o:x:r"}}}`, []string{"/paths/~1a/acl: not an entry"}},
		{`{"paths": {"/a": {"acl": "u:x:rq"}}}`, []string{"/paths/~1a/acl: letters of rwx"}},
		{`{"paths": {"/a": {"acl": "u:x:r,u:x:w"}}}`, []string{"/paths/~1a/acl: second time"}},
		{`{"paths": {"/a": {"default_acl": "u:x y:r"}}}`, []string{"/paths/~1a/default_acl: not an entry"}},
		{`{"paths": {"/a": {"default_acl": "u:$:r"}}}`, []string{"/paths/~1a/default_acl: neither"}},
		{`{"paths": {"/a": {"capabilities": "cap_fly+ep"}}}`, []string{"/paths/~1a/capabilities: no capability \"cap_fly\""}},
	})
}

func TestParseCapabilities(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "",
		"cap_net_raw+p":                "0000000200200000000000000000000000000000",
		"cap_net_raw,CAP_NET_ADMIN=ep": "0100000200300000000000000000000000000000",
		"cap_checkpoint_restore+i":     "0000000200000000000000000000000000010000",
		"cap_chown+ep cap_kill=ei":     "0100000201000000200000000000000000000000",
		"=ep":                          "01000002ffffffff00000000ff01000000000000",
		"all=ep all-ep cap_chown=p":    "0000000201000000000000000000000000000000",
		"=":                            "",
		"cap_chown+e":                  "error: a file's capabilities are all effective or none is",
		"cap_chown+ep cap_kill+p":      "error: a file's capabilities are all effective or none is",
		"+ep":                          "error: \"+ep\": name capabilities before +",
		"cap_chown":                    "error: \"cap_chown\": say what is given",
		"cap_chown+x":                  "error: \"cap_chown+x\": after the operator",
		"chown+p":                      "error: there is no capability \"chown\"",
		"cap_chown,+p":                 "error: there is no capability \"\"",
	} {
		value, err := parseCapabilities(text)
		got := hex.EncodeToString(value)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want && !(strings.HasPrefix(want, "error") && strings.HasPrefix(got, want)) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

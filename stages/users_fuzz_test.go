package stages

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever the files of accounts hold, adding a user ends, adds one line and changes
// no other.
func FuzzAccounts(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n", "root:*:18000:0:99999:7:::\n", "root:x:0:\nwheel:x:10:root\n", "old:100000:65536\n")
	f.Add("+::::::\n", "", "a:b\n", "x:18446744073709551615:1\n")
	f.Add("new:x:1:1::/:\n", "new:!:::::::\n", "new:x:1:\n", "new:1:1\nb:-1:-1\nc:99999999999999999999:1")
	f.Add("a:x:999999999999999999999:0:::\n:::::::\n#x\n", "::::::::\n\n\n", "\x00:::\n", ":\n::\n:::\n")
	f.Fuzz(func(t *testing.T, passwd, shadow, group, subuid string) {
		if len(passwd)+len(shadow)+len(group)+len(subuid) > 64<<10 {
			return
		}
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		before := map[string]string{"passwd": passwd, "shadow": shadow, "group": group, "gshadow": "", "subuid": subuid, "subgid": subuid}
		for name, text := range before {
			if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := runStage(t, "org.osbuild.users", dir, `{"users": {"fuzz-new": {"home": "/nowhere", "shell": "/bin/sh"}}}`)
		for name, text := range before {
			data, rerr := os.ReadFile(filepath.Join(dir, "etc", name))
			if rerr != nil {
				t.Fatal(rerr)
			}
			if err != nil {
				if string(data) != text {
					t.Errorf("%s was changed although it failed: %v", name, err)
				}
				continue
			}
			added := slices.DeleteFunc(strings.Split(string(data), "\n"), func(l string) bool { return !strings.HasPrefix(l, "fuzz-new:") })
			was := strings.Count("\n"+text, "\nfuzz-new:")
			if len(added) > was+1 {
				t.Errorf("%s has %d new lines: %q", name, len(added)-was, added)
			}
			for _, l := range strings.Split(text, "\n") {
				if l != "" && !strings.HasPrefix(l, "fuzz-new:") && !slices.Contains(strings.Split(string(data), "\n"), l) {
					t.Errorf("%s has lost %q", name, l)
				}
			}
		}
	})
}

// Lists in options are refused or in the form that is kept.
func FuzzACLText(f *testing.F) {
	f.Add("u::rwx,g::r-x,o::---,u:1000:7,m::7")
	f.Add("user:a:rw\tgroup:b:r\nmask:r,other:0")
	f.Add(":::,::,u:,u:-1:r")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseACL(text)
		if err != nil {
			return
		}
		for _, e := range list {
			if e.perm > 7 {
				t.Errorf("%q has permissions %o", text, e.perm)
			}
		}
		done := completeACL(slices.Clone(list), 0o640)
		sortACL(done)
		if !slices.IsSortedFunc(done, func(a, b aclEntry) int { return int(a.tag) - int(b.tag) }) {
			t.Errorf("%q is not in order: %v", text, done)
		}
	})
}

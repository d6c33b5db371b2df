//go:build e2e

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// userID is the user and group of the rootless test. It exists in a mount
// namespace of the test's own only.
const userID = 54322

// TestRootless builds a tree of packages as an ordinary user, and runs a script that
// has a network of its own.
func TestRootless(t *testing.T) {
	need(t, "unshare", "setpriv")
	for _, tool := range []string{"rootlesskit", "newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs ", tool)
		}
	}
	o := needOutside(t)
	listenAbstract(t)
	dir, err := os.MkdirTemp("/tmp", "osbuildkit-user-")
	if err != nil {
		t.Fatal(err)
	}
	// What the user's root namespace has made belongs to subordinate ids.
	t.Cleanup(func() { os.RemoveAll(dir) })
	script := "set -e\n"
	for file, line := range map[string]string{
		"passwd": fmt.Sprintf("e2e:x:%d:%d::%s:/bin/sh\n", userID, userID, dir),
		"group":  fmt.Sprintf("e2e:x:%d:\n", userID),
		"subuid": "e2e:200000:65536\n",
		"subgid": "e2e:200000:65536\n",
	} {
		data, err := os.ReadFile("/etc/" + file)
		if err != nil {
			t.Skip("needs the lists of users: ", err)
		}
		own := filepath.Join(dir, file)
		if err := os.WriteFile(own, append(data, line...), 0o644); err != nil {
			t.Fatal(err)
		}
		script += fmt.Sprintf("mount --bind %s /etc/%s\n", own, file)
	}
	script += fmt.Sprintf("mount --bind %s /etc/resolv.conf\n", o.resolvers)
	program, err := os.ReadFile(shared.program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "osbuildkit"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	manifest := manifestFile(t, "rootless.json", object{"stages": []any{
		stage("org.osbuildkit.debootstrap", object{"suite": suite, "variant": "required"}),
		stage("org.osbuild.hostname", object{"hostname": "rootless"}),
		stage("org.osbuild.script", object{"network": true, "script": lookAround(o)}),
	}})
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rootless.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, userID, userID); err != nil {
		t.Fatal(err)
	}
	script += fmt.Sprintf("cd %s\nexec setpriv --reuid %d --regid %d --clear-groups --inh-caps=-all --bounding-set +all "+
		"../osbuildkit build --progress rawjson --mirror %s --target tree ../rootless.json\n", home, userID, userID, shared.mirror.URL())
	cmd := exec.Command("unshare", "--mount", "sh", "-c", script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
	p := start(t, cmd).wait()
	if p.code() != 0 {
		for _, reason := range []string{"apparmor", "user namespaces", "user_namespaces", "parts of /proc"} {
			if strings.Contains(p.text(), reason) {
				t.Skipf("this machine does not allow it: %s", p.text())
			}
		}
		log, _ := os.ReadFile(filepath.Join(home, ".osbuild/buildkit/engine.log"))
		t.Fatalf("exit code %d\n%s\n%s", p.code(), p.text(), log[max(0, len(log)-3000):])
	}
	t.Logf("built in %.1f s", p.took.Seconds())
	tree := readTree(t, filepath.Join(home, "output/tree.tar"), nil)
	if got := string(tree["etc/hostname"].Data); got != "rootless\n" {
		t.Errorf("/etc/hostname is %q", got)
	}
	checkLook(t, tree, outsideName, true)
	for name, want := range map[string]string{
		"etc/shadow":     "type 0 mode 00640 owner 0:42 ",
		"usr/bin/passwd": "type 0 mode 04755 owner 0:0 ",
		"usr/bin/chage":  "type 0 mode 02755 owner 0:42 ",
		"var/mail":       "type 5 mode 02775 owner 0:8 ",
		"var/lib/dpkg":   "type 5 mode 00755 owner 0:0 ",
		"tmp":            "type 5 mode 01777 owner 0:0 ",
	} {
		if got := "missing"; tree[name].Header == nil {
			t.Errorf("/%s is %s, want %s", name, got, want)
		} else if got = describe(tree, name, false); !strings.HasPrefix(got, want) {
			t.Errorf("/%s is %s, want %s", name, got, want)
		}
	}
	st, err := os.Stat(filepath.Join(home, "output/tree.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if uid := st.Sys().(*syscall.Stat_t).Uid; uid != userID {
		t.Errorf("the archive belongs to user %d", uid)
	}
	checkLeftovers(t)
}

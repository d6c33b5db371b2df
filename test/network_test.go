//go:build e2e

package test

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// needOutside makes the machine that steps with network reach.
func needOutside(t *testing.T) *outside {
	t.Helper()
	need(t, "ip", "unshare")
	o, err := startOutside()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.remove(); err != nil {
			t.Error(err)
		}
	})
	o.resolvers = filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(o.resolvers, []byte("nameserver "+startNames(t, outsideName, outsideAddress)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// What a step must not reach would otherwise prove nothing.
	for _, host := range reachable[1:] {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(host, o.port), 5*time.Second)
		if err != nil {
			t.Fatal("this machine itself does not reach its own server: ", err)
		}
		c.Close()
	}
	return o
}

// reachable are the addresses that this machine reaches, and the first one is what a
// step reaches.
var reachable = []string{outsideName, "127.0.0.1", "::1", "::ffff:127.0.0.1", ownAddress, "::ffff:" + ownAddress, cloudAddress}

// abstractSocket is one of this machine's sockets whose names are no files.
const abstractSocket = "osbuildkit-e2e"

// lookAround is a script that writes what it reaches, the interfaces that it sees,
// and its privileges over them.
func lookAround(o *outside) string {
	return `#!/bin/bash -e
cd /etc
for host in ` + strings.Join(reachable, " ") + `; do
  if timeout 20 bash -c "exec 3<>/dev/tcp/$host/` + o.port + ` && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && grep -q 'here I am' <&3" 2>/dev/null; then echo "$host"; fi
done >look.reached
sed -n 's/^ *\([^ :]*\):.*/\1/p' /proc/net/dev >look.interfaces
perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); exit !connect(S, sockaddr_un("\0` + abstractSocket + `"))' && echo abstract >>look.reached
true
`
}

// checkLook compares what a script has found. A network of its own has no interface
// of this machine.
func checkLook(t *testing.T, tree map[string]entry, reached string, own bool) {
	t.Helper()
	if got := strings.Join(strings.Fields(string(tree["etc/look.reached"].Data)), " "); got != reached {
		t.Errorf("the step reaches %q, want %q", got, reached)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	seen := strings.Fields(string(tree["etc/look.interfaces"].Data))
	if len(seen) < 2 {
		t.Errorf("the step has the interfaces %q", seen)
	}
	for _, i := range interfaces {
		for _, name := range seen {
			if own && name == i.Name && i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
				t.Errorf("the step sees %s of this machine", name)
			}
		}
	}
}

// listenAbstract listens on the abstract socket.
func listenAbstract(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", "@"+abstractSocket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// TestNetworkOfSteps shows what a script with network reaches: a server that this
// machine reaches, by its name, which a name server on loopback knows; and nothing
// of this machine itself, unless its network is allowed. The tree has one program,
// which is the interpreter.
func TestNetworkOfSteps(t *testing.T) {
	o := needOutside(t)
	listenAbstract(t)
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(dir, "probe"), "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	output(t, "tar", "-C", dir, "-czf", filepath.Join(dir, "probe.tar.gz"), "probe")
	archive, err := os.ReadFile(filepath.Join(dir, "probe.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive) }))
	checksum := fmt.Sprintf("sha256:%x", sha256.Sum256(archive))
	script := "#!/probe\n"
	for _, host := range reachable {
		script += "tcp=" + net.JoinHostPort(host, o.port) + "\n"
	}
	manifest := manifestFile(t, "network.json", object{
		"pipeline": object{"stages": []any{
			stage("org.osbuild.copy", object{
				"source": object{"type": "archive", "checksum": checksum, "strip-components": 0}, "paths": []any{object{"from": "/probe", "to": "/probe"}},
			}),
			stage("org.osbuild.script", object{"network": true, "script": script + "unix=@" + abstractSocket + "\n"}),
		}},
		"sources": object{"org.osbuild.curl": object{"urls": object{checksum: "http://" + address + "/probe.tar.gz"}}},
	})
	all := ""
	for _, host := range reachable {
		all += net.JoinHostPort(host, o.port) + " "
	}
	for _, c := range []struct {
		allow   []string
		reached string
	}{{nil, net.JoinHostPort(outsideName, o.port)}, {[]string{"--allow", "network.host"}, all + "@" + abstractSocket}} {
		dir := t.TempDir()
		args := append([]string{"--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, o.resolvers, shared.program}, buildArgs(c.allow...)...)
		p := start(t, exec.Command("unshare", append(args, "-o", dir, "--target", "tree", manifest)...)).wait()
		if p.code() != 0 {
			log, _ := os.ReadFile(filepath.Join(shared.store, "buildkit/engine.log"))
			t.Fatalf("exit code %d\n%s\n%s", p.code(), p.text(), log[max(0, len(log)-3000):])
		}
		checkLook(t, readTree(t, filepath.Join(dir, "tree.tar"), nil), c.reached, len(c.allow) == 0)
	}
	checkLeftovers(t)
}

// TestAllow shows what is said of what cannot be allowed.
func TestAllow(t *testing.T) {
	need(t)
	file := manifestFile(t, "allow.json", object{"stages": []any{stage("org.osbuild.hostname", object{"hostname": "a"})}})
	p := startBuild(t, "--allow", "security.insecure", file).wait()
	if p.code() != 2 || !strings.Contains(p.text(), `--allow "security.insecure": only network.host can be allowed`) {
		t.Errorf("exit code %d\n%s", p.code(), p.text())
	}
}

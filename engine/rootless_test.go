//go:build linux

package engine

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// rootlessID is the user and group of the rootless tests. It exists in a mount
// namespace of theirs only.
const rootlessID = 54321

// asUser returns a command that plays a role of this test binary as an ordinary
// user with the given ranges of subordinate ids. The machine's own lists of
// users stay as they are: the command sees others in their place. What is odd about
// the state that it starts in are lines of a shell.
func asUser(t *testing.T, dir, role, subIDs string, odd ...string) *exec.Cmd {
	t.Helper()
	script := "set -e\n"
	for file, line := range map[string]string{
		"passwd": fmt.Sprintf("enginetest:x:%d:%d::%s:/bin/sh\n", rootlessID, rootlessID, dir),
		"group":  fmt.Sprintf("enginetest:x:%d:\n", rootlessID),
		"subuid": subIDs,
		"subgid": subIDs,
	} {
		data, err := os.ReadFile("/etc/" + file)
		if err != nil {
			t.Skip("needs the lists of users:", err)
		}
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, append(data, line...), 0o644); err != nil {
			t.Fatal(err)
		}
		script += fmt.Sprintf("mount --bind %s /etc/%s\n", path, file)
	}
	for _, line := range odd {
		script += line + "\n"
	}
	script += fmt.Sprintf("cd %s\nexec setpriv --reuid %d --regid %d --clear-groups --inh-caps=-all --bounding-set +all %s/test",
		dir, rootlessID, rootlessID, dir)
	copyFile(t, os.Args[0], filepath.Join(dir, "test"))
	cmd := exec.Command("unshare", "--mount", "sh", "-c", script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, roleVar + "=" + role}
	return cmd
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	treetest.Program(t, to, data)
}

// needRootless skips where no rootless engine can run, and returns a directory
// that an ordinary user may enter, with a store of theirs, and the program for
// steps.
func needRootless(t *testing.T) (dir, store, step string) {
	t.Helper()
	step = needEmbedded(t)
	for _, tool := range []string{"rootlesskit", "newuidmap", "newgidmap", "unshare", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs ", tool)
		}
	}
	if errs := checkSysctls("/proc/sys"); len(errs) > 0 {
		t.Skip(errs)
	}
	if procIsMasked() {
		t.Skip("parts of /proc are covered here")
	}
	dir, err := os.MkdirTemp("/tmp", "engine-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	store = filepath.Join(dir, "store")
	if err := os.Mkdir(store, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(store, rootlessID, rootlessID); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "steps")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, step, filepath.Join(own, "step"))
	return dir, store, filepath.Join(own, "step")
}

// An ordinary user's build runs under rootlesskit, and its exit code comes back.
func TestRootlessSolve(t *testing.T) {
	dir, store, step := needRootless(t)
	cmd := asUser(t, dir, "rootless "+store+" "+step, "enginetest:100000:65536\n")
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "apparmor") {
		t.Skipf("AppArmor forbids user namespaces: %s", out)
	}
	if string(out) != "rootless=true rootless\n" || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%v, exit code %d: %s", err, cmd.ProcessState.ExitCode(), out)
		if data, err := os.ReadFile(filepath.Join(store, "buildkit", "engine.log")); err == nil {
			t.Logf("the engine's log: %s", data)
		}
	}
	assertClean(t, store)
}

// What an ordinary user's shell has set reaches no step either.
func TestRootlessInherited(t *testing.T) {
	dir, store, step := needRootless(t)
	run := func(odd ...string) string {
		t.Helper()
		cmd := asUser(t, dir, "rootless-state "+store+" "+step, "enginetest:100000:65536\n", odd...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if strings.Contains(stderr.String(), "apparmor") {
			t.Skipf("AppArmor forbids user namespaces: %s", &stderr)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, &stderr)
		}
		if err := os.RemoveAll(filepath.Join(store, "buildkit")); err != nil { // else the step is in the cache
			t.Fatal(err)
		}
		return string(out)
	}
	want := run()
	if !strings.Contains(want, "Umask:\t0022") {
		t.Errorf("this is not the state of a step: %s", want)
	}
	if d := cmp.Diff(want, run("umask 0077", "ulimit -Sn 100", "ulimit -Ss 1024", "trap '' HUP TSTP TTIN", "export TZ=Asia/Kolkata LC_ALL=C",
		"exec 5</etc/passwd", "echo 500 >/proc/self/oom_score_adj")); d != "" {
		t.Errorf("it reaches a step (-ordinary +odd):\n%s", d)
	}
}

// A signal sent to the whole process group, as the terminal's Ctrl-C is, reaches
// the command under rootlesskit exactly once.
func TestRootlessSignal(t *testing.T) {
	dir, store, _ := needRootless(t)
	cmd := asUser(t, dir, "rootless-signal "+store, "enginetest:100000:65536\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Errorf("the command says %q, %v", line, err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 41 {
		t.Errorf("exit code %d, want 41: one signal", code)
	}
	if stderr.Len() > 0 {
		t.Errorf("stderr: %s", &stderr)
	}
}

// Without subordinate ids the user is told what to do, before anything starts.
func TestRootlessWithoutSubIDs(t *testing.T) {
	dir, store, step := needRootless(t)
	out, err := asUser(t, dir, "rootless "+store+" "+step, "").CombinedOutput()
	if err == nil {
		t.Error("no error")
	}
	for _, want := range []string{
		"/etc/subuid gives user enginetest 0 subordinate ids",
		"/etc/subgid gives user enginetest 0 subordinate ids",
		"usermod --add-subuids", "--builder",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in: %s", want, out)
		}
	}
}

func TestEnsurePrivilegesNothingToDo(t *testing.T) {
	for _, o := range []Options{{Builder: "tcp://127.0.0.1:1"}, {Builder: "some"}} {
		if ran, code, err := EnsurePrivileges(t.Context(), o); ran || code != 0 || err != nil {
			t.Errorf("%q: %v %d %v", o.Builder, ran, code, err)
		}
	}
	if _, _, err := EnsurePrivileges(t.Context(), Options{Builder: "http://x"}); err == nil {
		t.Error("a bad address is no error")
	}
}

func TestKitFilter(t *testing.T) {
	t.Parallel()
	const noise = "[rootlesskit:child ] error: command [/x] exited: exit status 41\n[rootlesskit:parent] error: child exited: exit status 41\n"
	const fault = "[rootlesskit:parent] error: failed to setup UID/GID map\n"
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"one\ntwo\n", "one\ntwo\n"},
		{"error: x\n" + noise, "error: x\n"},
		{noise + "after", "after"},
		{fault, fault},
		{"says " + noise[:20], "says " + noise[:20]},
		{"[root", "[root"},
		{"\x1b[2K progress\r[rootlesskit:", "\x1b[2K progress\r[rootlesskit:"},
	} {
		for step := 1; step <= 7; step += 3 { // whatever the pieces
			var out strings.Builder
			f := &kitFilter{w: &out}
			for in := tt.in; in != ""; {
				n := min(step, len(in))
				if m, err := f.Write([]byte(in[:n])); m != n || err != nil {
					t.Fatal(m, err)
				}
				in = in[n:]
			}
			if err := f.flush(); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("%q in pieces of %d gives %q, want %q", tt.in, step, out.String(), tt.want)
			}
		}
	}
}

//go:build linux

package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"golang.org/x/sys/unix"
)

// stepState runs a step that describes what it has inherited. The step is a new
// one each time.
func stepState(ctx context.Context, c *client.Client, step string) (got string, err error) {
	err = build(ctx, c, filepath.Dir(step), func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		var err error
		got, err = readFile(ctx, gw, runStep(step, "state", "/out/state"), "state")
		return gateway.NewResult(), err
	})
	return got, err
}

// odd are the states that a caller may be in, as shell commands that a program is
// started after.
var odd = []struct {
	name, script string
	needs        []string
}{
	{"umask 0077", "umask 0077", nil},
	{"umask 0002", "umask 0002", nil},
	{"umask 0777", "umask 0777", nil},
	{"soft limits", "ulimit -Sn 64 -Ss 1024 -Sc 0 -Sl 64", nil},
	{"hard limits", "ulimit -n 300; ulimit -s 2048; ulimit -f 100000; ulimit -u 2000; ulimit -l 64; ulimit -c 0; ulimit -q 1000; ulimit -i 100; ulimit -e 5; ulimit -r 5", nil},
	{"ignored signals", "trap '' HUP INT QUIT PIPE TERM TSTP TTIN TTOU CHLD USR1 USR2 CONT ALRM WINCH RTMIN RTMIN+5 RTMAX", nil},
	{"descriptors", "exec 5</etc/passwd 6<>/dev/null 7>/dev/null 20</", nil},
	{"no standard files", "exec <&- ", nil},
	{"directory", "cd /proc", nil},
	{"removed directory", "d=$(mktemp -d); cd $d; rmdir $d", nil},
	{"environment", "export LC_ALL=de_DE.UTF-8 TZ=Asia/Kolkata LANG=C TMPDIR=/var/tmp HOME=/nonexistent SOURCE_DATE_EPOCH=1 GODEBUG=x=y " +
		"POSIXLY_CORRECT=1 TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 GOMAXPROCS=1 MALLOC_PERTURB_=7 BUILDKIT_STEP_LOG_MAX_SIZE=1", nil},
	{"no huge pages", "export " + noHugePagesVar + "=1", nil},
	{"oom score", "echo 500 >/proc/self/oom_score_adj", nil},
	{"core dumps", "echo 0x1 >/proc/self/coredump_filter", nil},
	{"nice", "nice -n 15", []string{"nice"}},
	{"negative nice", "nice -n -10", []string{"nice"}},
	{"batch", "chrt -b 0", []string{"chrt"}},
	{"idle input and output", "ionice -c 3", []string{"ionice"}},
	{"one processor", "taskset -c 0", []string{"taskset"}},
	{"personality", "setarch linux32 -R --uname-2.6", []string{"setarch"}},
	{"groups", "setpriv --groups 4,27,100 --regid 1000", []string{"setpriv"}},
	{"no groups", "setpriv --clear-groups", []string{"setpriv"}},
	{"inheritable capabilities", "setpriv --inh-caps +chown,+net_raw --ambient-caps +chown,+net_raw", []string{"setpriv"}},
	{"securebits", "setpriv --securebits +no_setuid_fixup", []string{"setpriv"}},
	{"session", "setsid -w", []string{"setsid"}},
	{"mount namespace", "unshare --mount --propagation private", []string{"unshare"}},
}

// noHugePagesVar has the opening process switch huge pages off for itself and all
// that it starts, which no program of a shell does.
const noHugePagesVar = "OSBUILDKIT_TEST_NO_HUGE_PAGES"

// oddCommand is a command that is started in an odd state.
func oddCommand(script string, command ...string) *exec.Cmd {
	quoted := `"$@"`
	switch first, _, _ := strings.Cut(script, " "); first {
	case "nice", "chrt", "ionice", "taskset", "setarch", "setpriv", "setsid", "unshare":
		script = "exec " + script + " " + quoted // a program that starts another
	default:
		script += "\nexec " + quoted
	}
	// Not every shell knows all limits.
	return exec.Command("bash", append([]string{"-c", script, "bash"}, command...)...)
}

// A step sees nothing of the state of the process that opens the engine.
func TestInherited(t *testing.T) {
	step := needEmbedded(t)
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash")
	}
	run := func(t *testing.T, script string, block bool) string {
		t.Helper()
		store := t.TempDir()
		cmd := oddCommand(script, os.Args[0])
		cmd.Env = append(os.Environ(), roleVar+"=state "+store+" "+step)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		start := cmd.Start
		if block {
			start = func() error { return startBlocked(cmd) }
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := start(); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := out.Read(buf)
			text.Write(buf[:n])
			if err != nil {
				break
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, &stderr)
		}
		return text.String()
	}
	want := run(t, "true", false)
	for _, line := range []string{"Umask:\t0022", "SigIgn:\t0000000000000000", "SigBlk:\t0000000000000000", "nice: 0 ",
		"personality: 00000000", "oom_score_adj: 0", "/: mode 40755 owner 0:0", "/out: mode 40755 owner 0:0", "/step: mode 100755 owner 0:0"} {
		if !strings.Contains(want, line) {
			t.Errorf("an ordinary step has no line %q:\n%s", line, want)
		}
	}
	for _, tt := range odd {
		t.Run(tt.name, func(t *testing.T) {
			for _, program := range tt.needs {
				if _, err := exec.LookPath(program); err != nil {
					t.Skip("needs ", program)
				}
			}
			if tt.name == "hard limits" && !mayRaiseLimits() {
				t.Skip("needs the capability to raise limits")
			}
			if d := cmp.Diff(want, run(t, tt.script, false)); d != "" {
				t.Errorf("it reaches a step (-ordinary +odd):\n%s", d)
			}
		})
	}
	t.Run("blocked signals", func(t *testing.T) {
		if d := cmp.Diff(want, run(t, "true", true)); d != "" {
			t.Errorf("it reaches a step (-ordinary +odd):\n%s", d)
		}
	})
}

// mayRaiseLimits tells whether this process has CAP_SYS_RESOURCE.
func mayRaiseLimits() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// startBlocked starts a command with most signals blocked.
func startBlocked(cmd *exec.Cmd) error {
	result := make(chan error)
	go func() {
		var all, before unix.Sigset_t
		for i := range all.Val {
			all.Val[i] = ^uint64(1<<(uint(syscall.SIGCHLD)-1) | 1<<(uint(syscall.SIGURG)-1))
		}
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
			result <- err
			return
		}
		err := cmd.Start()
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
		result <- err
	}()
	return <-result
}

// The environment of the engine is that of a daemon: what is about the machine.
func TestCleanEnvironment(t *testing.T) {
	t.Parallel()
	got := cleanEnvironment([]string{"PATH=/bin", "HOME=/root", "https_proxy=http://p:1", "SOURCE_DATE_EPOCH=7", "PATHS=/x", "TMPDIR=/var/tmp"}, "/s/buildkit")
	want := []string{"LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/", "TMPDIR=/s/buildkit/tmp", "PATH=/bin", "https_proxy=http://p:1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	long := "/" + strings.Repeat("x", 100)
	for _, v := range cleanEnvironment(nil, long) {
		if strings.HasPrefix(v, "TMPDIR=") {
			t.Errorf("%s is too long for sockets", v)
		}
	}
}

// What the opening process writes itself keeps the state of its caller; the store is
// for the user alone whatever that is.
func TestCallerUntouched(t *testing.T) {
	needEmbedded(t)
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	e := open(t, store)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{filepath.Join(dir, "file"): 0o640, store: 0o700 | os.ModeDir, e.Target(): 0o700 | os.ModeDir} {
		st, err := os.Stat(name)
		if err != nil || st.Mode() != want {
			t.Errorf("%s has mode %v, %v; want %v", name, st.Mode(), err, want)
		}
	}
}

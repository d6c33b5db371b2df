package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/moby/buildkit/solver/pb"
	fscopy "github.com/tonistiigi/fsutil/copy"
	"golang.org/x/sys/unix"
)

// A build's result depends on its inputs alone, so what a process inherits from
// whoever started it must not reach the engine: a umask becomes the modes of a
// tree's directories, a group their owner, a personality the answer of uname in
// a step. A daemon has a state of its own because it was started by init. The
// embedded engine gets one here. What belongs to a thread is set on a thread
// that is made for it, starts the engine's process and ends; what belongs to a
// process, the process sets itself. The caller's own process stays as it was:
// the files that it writes have the umask and the group that its user wants.
//
// What nobody can take off stays: a seccomp filter, no_new_privs, control
// groups, the root directory; and without the privilege for it, as below
// rootlesskit, a worse niceness and lower hard limits.

// startClean starts a command in a session, a mount namespace and a state of
// its own. Mounts of the engine end with its namespace, however it ends; those
// that appear elsewhere on the machine are seen in it. Root is the engine's
// directory.
func startClean(cmd *exec.Cmd, root string) error {
	noSetGroups, err := setGroupsDenied()
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true, // neither Ctrl-C nor Ctrl-Z of a terminal is for it
		Credential: &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: noSetGroups},
	}
	if err := keepDescriptors(); err != nil {
		return err
	}
	result := make(chan error, 1)
	go func() {
		// The thread is not given back, so it ends with this function.
		runtime.LockOSThread()
		err := cleanThread()
		if err == nil {
			err = releaseMounts(root, cmd.Env)
		}
		if err == nil {
			err = cmd.Start()
		}
		result <- err
	}()
	return <-result
}

// setGroupsDenied tells whether the kernel forbids to drop groups, as it does
// in a user namespace that was made without newgidmap.
func setGroupsDenied() (bool, error) {
	data, err := os.ReadFile("/proc/self/setgroups")
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return strings.TrimSpace(string(data)) == "deny", err
}

// keepDescriptors keeps the descriptors that the caller has left open from all
// programs that this process starts. Go's own are kept from them anyway.
func keepDescriptors() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC) // that of the directory is closed
		}
	}
	return nil
}

// allCPUs is more than any machine has; the kernel leaves out what a control
// group forbids.
const allCPUs = 1024

// cleanThread gives the calling thread the state in which init starts a daemon.
// Where that needs a privilege that a user namespace does not give, the state
// stays as it is.
func cleanThread() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("a mount namespace: %w", err)
	}
	var cpus unix.CPUSet
	for i := range allCPUs {
		cpus.Set(i)
	}
	none := &unix.Sigset_t{}
	for _, step := range []struct {
		what string
		err  error
	}{
		{"signals", unix.PthreadSigmask(unix.SIG_SETMASK, none, nil)},
		{"scheduling", unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)},
		{"niceness", unix.Setpriority(unix.PRIO_PROCESS, 0, 0)},
		{"processors", unix.SchedSetaffinity(0, &cpus)},
		{"priority of input and output", syscallErr(unix.SYS_IOPRIO_SET, 1 /* IOPRIO_WHO_PROCESS */, 0, 0)},
		{"memory policy", syscallErr(unix.SYS_SET_MEMPOLICY, 0 /* MPOL_DEFAULT */, 0, 0)},
		{"personality", syscallErr(unix.SYS_PERSONALITY, 0, 0, 0)},
		{"timer slack", unix.Prctl(unix.PR_SET_TIMERSLACK, 50_000, 0, 0, 0)},
		{"securebits", unix.Prctl(unix.PR_SET_SECUREBITS, 0, 0, 0, 0)},
		{"capabilities", cleanCapabilities()},
	} {
		// ENOSYS: a kernel without the feature, or a container manager's filter.
		if step.err != nil && !errors.Is(step.err, unix.EPERM) && !errors.Is(step.err, unix.EACCES) && !errors.Is(step.err, unix.ENOSYS) {
			return fmt.Errorf("%s: %w", step.what, step.err)
		}
	}
	return nil
}

func syscallErr(number, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// cleanCapabilities drops the capabilities that programs would inherit without
// having been given them. Those that root has by itself stay: without them no
// container can be made, and the runtime says which it lacks.
func cleanCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	return unix.Capset(&header, &data[0])
}

// engineVariables are the variables of the caller that are about the machine and
// its network, as a daemon would have them: where programs and certificates are,
// and the proxies. No step sees any of them.
var engineVariables = []string{
	"PATH", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"http_proxy", "https_proxy", "all_proxy", "no_proxy",
}

// maxTempPath keeps room for the names of the sockets that BuildKit makes for
// ssh below the temporary directory: a socket's path has 107 bytes at most.
const maxTempPath = 70

// tempDir is where BuildKit makes its temporary files: inside the store, so that
// what a killed process leaves is found again, and lies on the disk that was
// chosen for images and not in a small /tmp.
func tempDir(root string) string { return filepath.Join(root, "tmp") }

// cleanEnvironment returns the environment of the engine's process.
func cleanEnvironment(all []string, root string) []string {
	env := []string{"LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/"}
	if dir := tempDir(root); len(dir) <= maxTempPath {
		env = append(env, "TMPDIR="+dir)
	}
	for _, name := range engineVariables {
		for _, v := range all {
			if strings.HasPrefix(v, name+"=") {
				env = append(env, v)
			}
		}
	}
	return env
}

const unlimited = ^uint64(0)

// limits are the limits of resources of the engine and of every step: those of
// a service of systemd, where one has to be chosen.
var limits = []struct {
	name       string
	resource   int
	soft, hard uint64
}{
	{"as", unix.RLIMIT_AS, unlimited, unlimited},
	{"core", unix.RLIMIT_CORE, 0, unlimited},
	{"cpu", unix.RLIMIT_CPU, unlimited, unlimited},
	{"data", unix.RLIMIT_DATA, unlimited, unlimited},
	{"fsize", unix.RLIMIT_FSIZE, unlimited, unlimited},
	{"locks", unix.RLIMIT_LOCKS, unlimited, unlimited},
	{"memlock", unix.RLIMIT_MEMLOCK, 8 << 20, 8 << 20},
	{"msgqueue", unix.RLIMIT_MSGQUEUE, 819200, 819200},
	{"nice", unix.RLIMIT_NICE, 0, 0},
	{"nofile", unix.RLIMIT_NOFILE, 1024, 512 << 10},
	{"nproc", unix.RLIMIT_NPROC, unlimited, unlimited},
	{"rss", unix.RLIMIT_RSS, unlimited, unlimited},
	{"rtprio", unix.RLIMIT_RTPRIO, 0, 0},
	{"rttime", unix.RLIMIT_RTTIME, unlimited, unlimited},
	{"sigpending", unix.RLIMIT_SIGPENDING, 64 << 10, 64 << 10},
	{"stack", unix.RLIMIT_STACK, 8 << 20, unlimited},
}

// defaultRealtimeSignals stops the ignoring of the real-time signals and of the
// two before them that are the C library's own: its posix_spawn, by which make
// starts programs, ignores the latter in all of them. Go cannot catch those.
func defaultRealtimeSignals() error {
	const first, last, ignored, setSize = 32, 64, 1, 8
	for sig := uintptr(first); sig <= last; sig++ {
		// The handler comes first in the kernel's struct sigaction, and all zeros
		// are the default.
		var now, none [4]uintptr
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&now)), setSize, 0, 0); errno != 0 {
			return fmt.Errorf("signal %d: %w", sig, errno)
		}
		if now[0] != ignored {
			continue
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&none)), 0, setSize, 0, 0); errno != 0 {
			return fmt.Errorf("signal %d: %w", sig, errno)
		}
	}
	return nil
}

// cleanProcess gives the engine's process what cleanThread cannot, and returns
// the limits for its steps. It runs before the process has done anything else.
func cleanProcess() ([]*pb.Ulimit, error) {
	unix.Umask(0)
	fscopy.UmaskIsZero = true
	// Less than the kernel's floor needs a privilege; then the value stays.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0)
	_ = os.WriteFile("/proc/self/coredump_filter", []byte("0x33"), 0) // the kernel's default; it may have none
	// Databases are started with huge pages off, and all that their scripts start
	// has inherited it. A kernel without the feature has nothing to switch on.
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 0, 0, 0, 0)
	// An ignored signal is ignored in every program that is started, and one
	// that is caught is not. The first three end the engine, see runProcess.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
		syscall.SIGCONT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGALRM)
	if err := defaultRealtimeSignals(); err != nil {
		return nil, err
	}
	var steps []*pb.Ulimit
	for _, l := range limits {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(l.resource, &now); err != nil {
			return nil, fmt.Errorf("limit %s: %w", l.name, err)
		}
		soft, hard := l.soft, l.hard
		own := syscall.Rlimit{Cur: soft, Max: hard}
		if l.resource == unix.RLIMIT_NOFILE {
			own.Cur = hard // layers, downloads and connections are many files
		}
		if syscall.Setrlimit(l.resource, &own) != nil {
			// Without privilege a hard limit cannot be raised.
			hard = min(hard, now.Max)
			soft = min(soft, hard)
			own = syscall.Rlimit{Cur: min(own.Cur, hard), Max: hard}
			if err := syscall.Setrlimit(l.resource, &own); err != nil {
				return nil, fmt.Errorf("limit %s: %w", l.name, err)
			}
		}
		steps = append(steps, &pb.Ulimit{Name: l.name, Soft: int64(soft), Hard: int64(hard)})
	}
	return steps, nil
}

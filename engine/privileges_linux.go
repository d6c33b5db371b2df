package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/userns"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// rootlessMark is set for the command that runs under rootlesskit.
const rootlessMark = "OSBUILDKIT_ROOTLESS"

// elsewhere ends every message about missing privileges.
const elsewhere = "or build elsewhere with --builder"

// EnsurePrivileges lets a user who is not root use the embedded engine: it runs
// this very command again under rootlesskit, in a user namespace in which the
// user is root, and returns true with the exit code once that has ended. It
// returns false when nothing has to be done: another provider is asked for, or
// the process is root already. It changes nothing but the process, so a command
// line calls it before anything else, and exits with the code:
//
//	if ran, code, err := engine.EnsurePrivileges(ctx, o); err != nil {
//		return err
//	} else if ran {
//		os.Exit(code)
//	}
//
// SIGINT, SIGTERM, SIGHUP and SIGQUIT are handed on; the command itself decides
// how to end. A cancelled ctx ends the command as SIGTERM does. The error says
// which package, which entry or which kernel setting is missing.
func EnsurePrivileges(ctx context.Context, o Options) (reexeced bool, exitCode int, err error) {
	if os.Getenv(rootlessMark) != "" && os.Geteuid() == 0 {
		takeTerminal()
	}
	ch, err := choose(o.Builder, os.Getenv("BUILDKIT_HOST"), HasEmbedded)
	if err != nil || ch.kind != Embedded || os.Geteuid() == 0 {
		return false, 0, err
	}
	if os.Getenv(rootlessMark) != "" {
		return false, 0, fmt.Errorf("rootlesskit started this command without making it root; become root, %s", elsewhere)
	}
	kit, err := checkRootless()
	if err != nil {
		return false, 0, err
	}
	if _, err := findRuntime(); err != nil {
		return false, 0, err
	}
	if o.Store == "" {
		o.Store = DefaultStore
	}
	cmd, err := rootlessCommand(kit, o.Store)
	if err != nil {
		return false, 0, err
	}
	code, err := runForwarding(ctx, cmd)
	return err == nil, code, err
}

// checkUser is the embedded engine's own guard, for a caller that forgot
// EnsurePrivileges.
func checkUser() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the embedded engine needs root or rootlesskit: run it as root or under rootlesskit, %s", elsewhere)
	}
	return nil
}

// checkRootless finds rootlesskit and everything it needs, and returns its path.
// All that is missing is reported together.
func checkRootless() (string, error) {
	var errs []error
	kit, err := exec.LookPath("rootlesskit")
	if err != nil {
		errs = append(errs, errors.New("rootlesskit is not on PATH (Debian, Ubuntu: apt-get install rootlesskit; Fedora: dnf install rootlesskit)"))
	}
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			errs = append(errs, fmt.Errorf("%s is not on PATH (Debian, Ubuntu: apt-get install uidmap; Fedora: dnf install shadow-utils)", tool))
		}
	}
	name, uid := "", os.Getuid()
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		name = u.Username
	}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		if err := checkSubIDs(file, name, uid); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, checkSysctls("/proc/sys")...)
	if len(errs) > 0 {
		return "", fmt.Errorf("the embedded engine runs as root, or for other users through rootlesskit, which cannot work here; put this right, become root, %s:\n%w", elsewhere, errors.Join(errs...))
	}
	return kit, nil
}

// minSubIDs is how many ids a system image needs: it uses nobody, 65534.
const minSubIDs = 65536

// checkSubIDs looks for a range of subordinate ids for the user, by name or by
// number, that is large enough.
func checkSubIDs(file, name string, uid int) error {
	who := name
	if who == "" {
		who = strconv.Itoa(uid)
	}
	fix := fmt.Sprintf("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s", who)
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("%w (%s)", err, fix)
	}
	defer f.Close()
	total := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Split(strings.TrimSpace(sc.Text()), ":")
		if len(fields) != 3 || fields[0] != name && fields[0] != strconv.Itoa(uid) {
			continue
		}
		if n, err := strconv.Atoi(fields[2]); err == nil && n > 0 {
			total += n
		}
	}
	if total < minSubIDs-1 {
		return fmt.Errorf("%s gives user %s %d subordinate ids, %d are needed (%s)", file, who, total, minSubIDs, fix)
	}
	return nil
}

// checkSysctls finds kernel settings that forbid user namespaces. A setting that
// the kernel does not have forbids nothing.
func checkSysctls(dir string) []error {
	var errs []error
	for _, s := range []struct{ path, bad string }{
		{"user/max_user_namespaces", "0"},
		{"kernel/unprivileged_userns_clone", "0"},
	} {
		data, err := os.ReadFile(filepath.Join(dir, s.path))
		if err == nil && strings.TrimSpace(string(data)) == s.bad {
			key := strings.ReplaceAll(s.path, "/", ".")
			errs = append(errs, fmt.Errorf("the kernel forbids user namespaces: %s = %s (as root: sysctl -w %s=%s)", key, s.bad, key, map[string]string{
				"user.max_user_namespaces":         "15000",
				"kernel.unprivileged_userns_clone": "1",
			}[key]))
		}
	}
	return errs
}

// rootlessCommand is this command, with its arguments, under rootlesskit. The
// network is the machine's: steps never get it, unless it is allowed.
func rootlessCommand(kit, store string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program's own path: %w", err)
	}
	args := append([]string{"--net=host", self}, os.Args[1:]...)
	cmd := exec.Command(kit, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, &kitFilter{w: os.Stderr}
	cmd.WaitDelay = stdioGrace // something may keep stderr open after the end
	cmd.Env = append(os.Environ(), rootlessMark+"=1", rootlessTerminal+"="+terminalOf(os.Stderr))
	if os.Getenv("XDG_RUNTIME_DIR") == "" || unix.Access(os.Getenv("XDG_RUNTIME_DIR"), unix.W_OK) != nil {
		// runc keeps the state of containers there; /run is not the user's.
		root, err := makeRoot(store)
		if err != nil {
			return nil, err
		}
		run := filepath.Join(root, "run")
		if err := private.MakeDir(run); err != nil {
			return nil, err
		}
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+run)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// rootlesskit hands signals on. In our process group Ctrl-C would reach
		// the command from the terminal as well, and twice means "at once".
		Setpgid: true,
		// When this process is killed, the engine must not go on unseen.
		Pdeathsig: syscall.SIGTERM,
	}
	return cmd, nil
}

// runForwarding runs cmd to its end, hands signals to it, and returns its exit
// code; a command that died of a signal has 128 plus the signal's number.
func runForwarding(ctx context.Context, cmd *exec.Cmd) (int, error) {
	// The kernel sends Pdeathsig when the thread ends that started the command.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(sigs)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting rootlesskit: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		cancelled := ctx.Done()
		for {
			select {
			case s := <-sigs:
				_ = cmd.Process.Signal(s) // it may have ended just now
			case <-cancelled:
				cancelled = nil
				// A signal that also cancelled ctx is handed on by the case above.
				if !errors.Is(ctx.Err(), context.Canceled) {
					_ = cmd.Process.Signal(syscall.SIGTERM)
				}
			case <-ended:
				return
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	if f, ok := cmd.Stderr.(*kitFilter); ok && !errors.Is(err, exec.ErrWaitDelay) {
		_ = f.flush() // a last line without an end
	}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return 0, nil
	case !errors.As(err, &exit):
		return 0, fmt.Errorf("rootlesskit: %w", err)
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}

// Rootless tells whether this process is root only inside a user namespace,
// where device nodes and some extended attributes cannot be made.
func Rootless() bool { return userns.RunningInUserNS() }

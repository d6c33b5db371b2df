package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// bootFlags are the flags of the boot command.
type bootFlags struct {
	forwards, waits []string
	timeout         time.Duration
	accel, cpu      string
	firmware, arch  string
	memory, cpus    int
	keep            bool
}

func (a *app) bootCommand() *cobra.Command {
	var f bootFlags
	cmd := &cobra.Command{
		Use:   "boot [flags] IMAGE",
		Short: "Boot an image in qemu, with its serial console here",
		Long: "Boot an image in qemu, with its serial console here.\n\nThe image is not changed: what the guest writes is thrown away. " +
			"With --wait-for the guest is stopped, and the exit code is 0, as soon as all that is waited for has been seen. " +
			"KVM is used only if a guest really starts under it.\n\n" +
			"IMAGE may be raw, qcow2, vdi, vmdk, vpc or vhdx, or one of them compressed with xz, zstd or gzip, or Google's archive with a " +
			"disk.raw; what is not raw is unpacked to a sparse temporary file, and qemu starts from that.",
		Args: exactArgs(1, "one IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.boot(cmd.Context(), &f, args[0]) },
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.forwards, "forward", nil, "forward `HOST:GUEST`, two TCP ports; the host's is on loopback")
	fl.StringArrayVar(&f.waits, "wait-for", nil, "stop when this `TEXT` is on the console, or this http:// address answers with success")
	fl.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to wait for it")
	fl.StringVar(&f.firmware, "firmware", "auto", "auto, bios or uefi; auto is uefi if the disk has an EFI system partition")
	fl.StringVar(&f.arch, "arch", "", "`ARCHITECTURE` of the guest, amd64 or arm64; without it that of the boot loaders, else amd64")
	fl.StringVar(&f.accel, "accel", "auto", "auto, kvm, tcg, hvf (macOS) or whpx (Windows); auto is kvm where it works, else tcg")
	fl.StringVar(&f.cpu, "cpu", "", "`MODEL` of the processor, as qemu names it")
	fl.IntVar(&f.memory, "memory", 1024, "memory in `MIB`")
	fl.IntVar(&f.cpus, "cpus", 2, "number of processors")
	fl.BoolVar(&f.keep, "keep", false, "keep the guest running after --wait-for was satisfied, until interrupted")
	return cmd
}

func (a *app) boot(ctx context.Context, f *bootFlags, name string) error {
	m, err := openImage(ctx, name)
	if err != nil {
		return err
	}
	defer m.Close()
	g, err := f.newGuest(ctx, m, name)
	if err != nil {
		return err
	}
	// qemu gets a raw disk and is told so: what it would make of a file in
	// another format is not ours to say.
	if g.path, err = m.RawFile(); err != nil {
		return imageError(ctx, err)
	}
	dir, err := os.MkdirTemp("", "osbuildkit-boot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if len(f.waits) == 0 {
		args, err := f.arguments(ctx, g, dir)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, g.qemu, append(args, "-nographic")...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, a.stdout, a.stderr
		return cmd.Run()
	}
	return a.bootAndWait(ctx, f, g, dir)
}

// arguments returns the qemu arguments but for the console.
func (f *bootFlags) arguments(ctx context.Context, g *guest, dir string) ([]string, error) {
	accel, cpu, err := f.accelerator(ctx, g)
	if err != nil {
		return nil, err
	}
	nic := "user,model=virtio-net-pci"
	for _, v := range f.forwards {
		host, guest, ok := strings.Cut(v, ":")
		if !ok || !isPort(host) || !isPort(guest) {
			return nil, usageError("--forward %q: write HOSTPORT:GUESTPORT", v)
		}
		nic += ",hostfwd=tcp:127.0.0.1:" + host + "-:" + guest
	}
	args, err := g.firmwareArgs(dir)
	if err != nil {
		return nil, err
	}
	args = append(args, g.machine.args...)
	return append(args,
		"-accel", accel, "-cpu", cpu, "-m", strconv.Itoa(f.memory), "-smp", strconv.Itoa(f.cpus),
		"-no-reboot", "-snapshot", "-nic", nic,
		"-drive", "if=virtio,format=raw,file="+driveFile(g.path),
		"-object", rngDevice, "-device", "virtio-rng-pci,rng=rng",
	), nil
}

// driveFile writes the name of a file so that qemu takes all of it for a name: a
// comma would begin an option, and "nbd:" or "json:" says that it is no file.
func driveFile(name string) string {
	if !filepath.IsAbs(name) {
		name = "./" + name
	}
	return strings.ReplaceAll(name, ",", ",,")
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && n < 1<<16
}

// bootTries is how often a guest is started whose kernel crashes. Emulated
// guests do so now and then where the emulator itself is emulated or starved,
// at other places each time; an image that is at fault crashes every time.
const bootTries = 3

// bootAndWait runs the guest until all that is waited for has been seen.
func (a *app) bootAndWait(ctx context.Context, f *bootFlags, g *guest, dir string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, errTimeout)
	defer cancel()
	for try := 1; ; try++ {
		args, err := f.arguments(ctx, g, dir)
		if err != nil {
			return err
		}
		err = a.bootOnce(ctx, f, g.qemu, append(args, "-display", "none", "-monitor", "none", "-serial", "stdio"))
		if errors.Is(err, errKVM) && f.accel == "auto" {
			fmt.Fprintf(a.stderr, "\nosbuildkit: %v; starting it again without KVM\n", err)
			f.accel = "tcg"
			continue
		}
		if try == bootTries || !errors.Is(err, errCrashed) {
			return err
		}
		fmt.Fprintf(a.stderr, "\nosbuildkit: %v; starting it again\n", err)
	}
}

// bootOnce starts the guest once.
func (a *app) bootOnce(ctx context.Context, f *bootFlags, qemu string, args []string) error {
	var texts, addresses []string
	for _, w := range f.waits {
		if strings.HasPrefix(w, "http://") {
			addresses = append(addresses, w)
		} else {
			texts = append(texts, w)
		}
	}
	console := &watcher{out: a.stdout, missing: texts, found: make(chan struct{}), crashed: make(chan struct{})}
	console.check()
	cmd := exec.CommandContext(ctx, qemu, args...)
	kvm := &watcher{out: a.stderr, missing: []string{kvmFails}, found: make(chan struct{}), crashed: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = console, kvm
	cmd.SysProcAttr = guestAttributes()
	start := time.Now()
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		// The kernel sends that signal when the thread ends that started the guest.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	defer func() {
		cmd.Process.Kill()
		<-ended
	}()
	for step := 0; step <= len(addresses); step++ {
		seen := console.found
		if step > 0 {
			seen = poll(ctx, addresses[step-1])
		}
		select {
		case <-seen:
		case err := <-ended:
			ended <- nil
			select {
			case <-seen: // the last thing that it did
				continue
			default:
			}
			if ctx.Err() == nil {
				return fmt.Errorf("the guest ended (%v) before %s", err, f.stillWaited(console, addresses, step))
			}
			return f.timedOut(ctx, console, addresses, step)
		case <-kvm.found:
			return fmt.Errorf("%w before %s", errKVM, f.stillWaited(console, addresses, step))
		case <-console.crashed:
			return fmt.Errorf("%w before %s", errCrashed, f.stillWaited(console, addresses, step))
		case <-ctx.Done():
			return f.timedOut(ctx, console, addresses, step)
		}
	}
	fmt.Fprintf(a.stderr, "\nosbuildkit: seen after %.1f s: %s\n", time.Since(start).Seconds(), strings.Join(f.waits, ", "))
	if f.keep {
		fmt.Fprintln(a.stderr, "osbuildkit: the guest keeps running; interrupt to stop it")
		err := <-ended
		ended <- nil
		return err
	}
	return nil
}

var (
	errTimeout = errors.New("time is up")
	errCrashed = errors.New("the guest's kernel crashed")
	errKVM     = errors.New("KVM cannot run the guest")
)

// kvmFails is what qemu says when KVM meets an instruction that it can neither
// run nor emulate, as happens where KVM is itself in a virtual machine. The
// guest then stands still.
const kvmFails = "KVM internal error"

// crashes are what a kernel prints when it fails by itself. A kernel that
// panics because it finds no root file system or no init does not crash in
// this sense.
var crashes = [][]byte{
	[]byte("Kernel panic - not syncing: Fatal exception"),
	[]byte("Kernel panic - not syncing: Attempted to kill"),
	[]byte("Oops: "), []byte("double fault: "), []byte("BUG: unable to handle"),
}

func (f *bootFlags) timedOut(ctx context.Context, w *watcher, addresses []string, step int) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return fmt.Errorf("after %s the guest had not come to %s", f.timeout, f.stillWaited(w, addresses, step))
	}
	return context.Cause(ctx)
}

func (f *bootFlags) stillWaited(w *watcher, addresses []string, step int) string {
	if step == 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return strconv.Quote(strings.Join(w.missing, ", "))
	}
	return addresses[step-1]
}

// watcher passes a console on and looks for texts in it.
type watcher struct {
	out io.Writer

	mu      sync.Mutex
	missing []string
	tail    []byte
	found   chan struct{}
	closed  bool
	// crashed is closed when the kernel has failed.
	crashed chan struct{}
	failed  bool
}

// Write passes data on.
func (w *watcher) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, data...)
	w.missing = slices.DeleteFunc(w.missing, func(s string) bool { return bytes.Contains(w.tail, []byte(s)) })
	if !w.failed && slices.ContainsFunc(crashes, func(s []byte) bool { return bytes.Contains(w.tail, s) }) {
		w.failed = true
		close(w.crashed)
	}
	if keep := 4096; len(w.tail) > keep {
		w.tail = append([]byte(nil), w.tail[len(w.tail)-keep:]...)
	}
	w.done()
	return w.out.Write(data)
}

func (w *watcher) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done()
}

func (w *watcher) done() {
	if len(w.missing) == 0 && !w.closed {
		w.closed = true
		close(w.found)
	}
}

// poll returns a channel that is closed when the address answers with success.
func poll(ctx context.Context, address string) chan struct{} {
	ok := make(chan struct{})
	go func() {
		c := &http.Client{Timeout: 5 * time.Second}
		for ctx.Err() == nil {
			if req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil); err == nil {
				if res, err := c.Do(req); err == nil {
					res.Body.Close()
					if res.StatusCode/100 == 2 {
						close(ok)
						return
					}
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	}()
	return ok
}

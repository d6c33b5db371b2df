//go:build linux

package engine

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func TestEmbeddedSolve(t *testing.T) {
	step := needEmbedded(t)
	e := shared.get(t)
	if e.Kind() != Embedded {
		t.Errorf("kind is %s", e.Kind())
	}
	got, err := solveFile(t.Context(), e.Client(), step, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if got != "hello" {
		t.Errorf("the step wrote %q", got)
	}
	if err := CheckDaemon(t.Context(), e.Client()); err != nil {
		t.Error("the embedded daemon is refused:", err)
	}
	if err := checkCaps(t.Context(), e.Client(), "unknown"); err != nil {
		t.Error("the embedded daemon is refused by its capabilities:", err)
	}
}

// A step with network none has none.
func TestEmbeddedNetwork(t *testing.T) {
	step := needEmbedded(t)
	e := shared.get(t)
	err := build(t.Context(), e.Client(), filepath.Dir(step), func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		got, err := readFile(ctx, gw, runStep(step, "interfaces", "/out/n"), "n")
		if got != "0" && err == nil {
			t.Errorf("the step sees %s network interfaces", got)
		}
		return gateway.NewResult(), err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDiskUsageAndPrune(t *testing.T) {
	step := needEmbedded(t)
	e := open(t, t.TempDir())
	if _, err := solveFile(t.Context(), e.Client(), step, "prune me"); err != nil {
		t.Fatal(err)
	}
	records, err := e.DiskUsage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(records) < 3 { // the upload, the copy, the step's output
		t.Errorf("%d records", len(records))
	}
	size, count, err := e.Prune(t.Context(), PruneOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if size <= 0 || count < 3 {
		t.Errorf("pruned %d bytes in %d records", size, count)
	}
	if records, err = e.DiskUsage(t.Context()); err != nil || len(records) != 0 {
		t.Errorf("%d records left, %v", len(records), err)
	}
}

// Steps survive in the cache from one engine to the next.
func TestEmbeddedReopen(t *testing.T) {
	step := needEmbedded(t)
	store := t.TempDir()
	e := open(t, store)
	if _, err := solveFile(t.Context(), e.Client(), step, "keep"); err != nil {
		t.Fatal(err)
	}
	before := settled(t, e)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, store)
	if _, err := solveFile(t.Context(), e.Client(), step, "keep"); err != nil {
		t.Fatal(err)
	}
	after := settled(t, e)
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("the same build changed the records (-before +after):\n%s", d)
	}
}

// settled lists what the records are of, once none is in use any more: a build
// lets go of its records a moment after its end, and those in use have other
// ids than the same ones at rest.
func settled(t *testing.T, e *Engine) []string {
	t.Helper()
	for range 200 {
		records, err := e.DiskUsage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		busy := false
		for _, r := range records {
			names = append(names, r.Description)
			busy = busy || r.InUse
		}
		if !busy {
			slices.Sort(names)
			return names
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("records stay in use")
	return nil
}

// Two engines on one store: the second has it when the first lets go.
func TestTwoOpens(t *testing.T) {
	step := needEmbedded(t)
	store := t.TempDir()
	first := open(t, store)
	if _, err := Open(t.Context(), Options{Builder: EmbeddedName, Store: store, Wait: -1}); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprintf("held by process %d", os.Getpid())) {
		t.Fatalf("error %v, want one that names this process", err)
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = first.Close() })
	second := open(t, store)
	if got, err := solveFile(t.Context(), second.Client(), step, "second"); err != nil || got != "second" {
		t.Errorf("%q, %v", got, err)
	}
}

// A cancelled build leaves no container, no mount and no process.
func TestCancelLeavesNothing(t *testing.T) {
	step := needEmbedded(t)
	store := t.TempDir()
	e := open(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	start := time.Now()
	if err := sleepForever(ctx, e, step, cancel); err == nil {
		t.Error("a cancelled build succeeds")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("cancelled and closed after %s", time.Since(start).Round(time.Millisecond))
	assertClean(t, store)
}

// Close cancels what runs.
func TestCloseWhileRunning(t *testing.T) {
	step := needEmbedded(t)
	store := t.TempDir()
	e := open(t, store)
	ended := make(chan error, 1)
	running := make(chan struct{})
	go func() { ended <- sleepForever(t.Context(), e, step, func() { close(running) }) }()
	<-running
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the build succeeds")
	}
	assertClean(t, store)
}

// startSleeper starts a process that opens an engine whose step runs for ever.
func startSleeper(t *testing.T, store, step string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"=solve-forever "+store+" "+step)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "running\n" {
		t.Errorf("the other process says %q, %v", line, err)
	}
	if len(processesOf(t, store)) == 0 {
		t.Error("no step runs: this test shows nothing")
	}
	return cmd
}

// engineOf returns the process of the engine that holds a store.
func engineOf(t *testing.T, store string) int {
	t.Helper()
	f, err := os.Open(filepath.Join(store, "buildkit", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := readNote(f)
	if h.Engine == 0 {
		t.Fatal("nobody holds the store")
	}
	return h.Engine
}

// After kill -9 of the engine the container of the step still runs, and no mount
// is left. The next Open removes the container and builds.
func TestKilledProcess(t *testing.T) {
	step := needEmbedded(t)
	store := t.TempDir()
	cmd := startSleeper(t, store, step)
	if err := syscall.Kill(engineOf(t, store), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	waitFor(t, func() bool { return len(mountsOf(t, store)) == 0 })
	if len(processesOf(t, store)) == 0 {
		t.Error("no step is left: this test shows nothing")
	}
	e := open(t, store)
	assertClean(t, store)
	if got, err := solveFile(t.Context(), e.Client(), step, "again"); err != nil || got != "again" {
		t.Errorf("%q, %v", got, err)
	}
}

// An engine whose opener was killed removes what runs, and ends.
func TestKilledOpener(t *testing.T) {
	step := needEmbedded(t)
	store := t.TempDir()
	cmd := startSleeper(t, store, step)
	engine := engineOf(t, store)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	waitFor(t, func() bool { return !alive(engine) })
	assertClean(t, store)
}

// Where only the engine was killed, whoever has opened it is told.
func TestKilledEngine(t *testing.T) {
	needEmbedded(t)
	store := t.TempDir()
	notices := make(chan string, 10)
	e, err := Open(t.Context(), Options{Builder: EmbeddedName, Store: store, Notify: func(s string) { notices <- s }})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(engineOf(t, store), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	want := "the embedded engine has ended unexpectedly (signal: killed); its log is " + filepath.Join(store, "buildkit", "engine.log")
	if got := <-notices; got != want {
		t.Errorf("notice %q, want %q", got, want)
	}
	if _, err := e.DiskUsage(t.Context()); err == nil {
		t.Error("a killed engine answers")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// Mounts that an engine without a namespace of its own has left are removed,
// also those of directories of the store elsewhere; others are left alone.
func TestLeftMounts(t *testing.T) {
	needEmbedded(t)
	store, elsewhere := t.TempDir(), t.TempDir()
	e := open(t, store)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(store, "buildkit")
	dirs := map[string]string{}
	for _, name := range []string{"lower", "upper", "work", "inside", "bound"} {
		dirs[name] = filepath.Join(root, "left", name)
	}
	for _, name := range []string{"overlay", "bind", "mine"} {
		dirs[name] = filepath.Join(elsewhere, name)
	}
	dirs["trees"] = filepath.Join(store, "trees")
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	overlay := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dirs["lower"], dirs["upper"], dirs["work"])
	for _, m := range []struct{ source, target, kind, data string }{
		{"overlay", dirs["overlay"], "overlay", overlay},
		{dirs["bound"], dirs["bind"], "", ""},
		{dirs["bound"], dirs["inside"], "", ""},
		{dirs["trees"], dirs["mine"], "", ""},
	} {
		flags := uintptr(0)
		if m.kind == "" {
			flags = unix.MS_BIND
		}
		if err := unix.Mount(m.source, m.target, m.kind, flags, m.data); err != nil {
			t.Fatal(m.target, err)
		}
		t.Cleanup(func() { _ = unix.Unmount(m.target, unix.MNT_DETACH) })
	}
	open(t, store)
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := false
	for _, m := range mounts {
		mine = mine || m.Mountpoint == dirs["mine"]
		if m.Mountpoint == dirs["overlay"] || m.Mountpoint == dirs["bind"] || m.Mountpoint == dirs["inside"] {
			t.Errorf("%s is still mounted", m.Mountpoint)
		}
	}
	if !mine {
		t.Error("a mount of the user's was removed")
	}
}

// A process killed between the rename of a new snapshot's directory and the
// commit of the database leaves a directory under the number that the next
// snapshot gets.
func TestUnfinishedSnapshot(t *testing.T) {
	step := needEmbedded(t)
	for _, snapshotter := range []string{"overlayfs", "native"} {
		t.Run(snapshotter, func(t *testing.T) {
			o := Options{Builder: EmbeddedName, Store: t.TempDir(), Snapshotter: snapshotter}
			e := openWith(t, o)
			if _, err := solveFile(t.Context(), e.Client(), step, "first"); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(o.Store, "buildkit", "runc-"+snapshotter, "snapshots", "snapshots")
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) == 0 {
				t.Fatalf("%d snapshots, %v", len(entries), err)
			}
			for n := range 100 {
				left := filepath.Join(dir, strconv.Itoa(n+1))
				if exists(left) {
					continue
				}
				if err := os.MkdirAll(filepath.Join(left, "fs", "left"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			e = openWith(t, o)
			if got, err := solveFile(t.Context(), e.Client(), step, "second"); err != nil || got != "second" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// assertClean fails for every container, mount and process of the store.
func assertClean(t *testing.T, store string) {
	t.Helper()
	for _, m := range mountsOf(t, store) {
		t.Errorf("mount left: %s", m)
	}
	for _, p := range processesOf(t, store) {
		t.Errorf("process left: %s", p)
	}
	bundles, err := filepath.Glob(filepath.Join(store, "buildkit", "runc-*", "executor", "*", "config.json"))
	if err != nil || len(bundles) > 0 {
		t.Errorf("bundles left: %s, %v", bundles, err)
	}
	states, err := filepath.Glob(filepath.Join(runtimeStateDir(), "*", "state.json"))
	if err != nil {
		t.Error(err)
	}
	for _, s := range states {
		if data, err := os.ReadFile(s); err == nil && strings.Contains(string(data), store) {
			t.Errorf("container left: %s", s)
		}
	}
}

func mountsOf(t *testing.T, store string) (points []string) {
	t.Helper()
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.Mountpoint, store+"/") || strings.Contains(m.VFSOptions, store+"/") {
			points = append(points, m.Mountpoint)
		}
	}
	return points
}

// processesOf finds the steps of a store: their root's overlay is made of its
// directories, whatever namespace they are in.
func processesOf(t *testing.T, store string) (found []string) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		command, _ := os.ReadFile(filepath.Join(d, "cmdline"))
		mounts, _ := os.ReadFile(filepath.Join(d, "mounts"))
		root, _, _ := strings.Cut(string(mounts), "\n")
		if strings.HasPrefix(string(command), "/step\x00") && strings.Contains(root, store) {
			found = append(found, fmt.Sprintf("%s %q", d, command))
		}
	}
	return found
}

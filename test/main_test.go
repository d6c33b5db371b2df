//go:build e2e

package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
)

// suite is the release of the distribution that the tests install.
const suite = "trixie"

// buildTimeout bounds one run of the command line.
const buildTimeout = 15 * time.Minute

// shared is what all tests use together.
var shared struct {
	program string
	store   string
	mirror  *Mirror
	skip    string
}

func TestMain(m *testing.M) {
	code, err := withShared(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// withShared prepares what the tests share and runs them.
func withShared(run func() int) (code int, err error) {
	if os.Getuid() != 0 {
		shared.skip = "the end-to-end tests need root: the embedded engine runs containers"
		return run(), nil
	}
	program := os.Getenv("OSBUILDKIT")
	if program == "" {
		program = "../bin/osbuildkit"
	}
	if shared.program, err = filepath.Abs(program); err != nil {
		return 1, err
	}
	if _, err := os.Stat(shared.program); err != nil {
		return 1, fmt.Errorf("%w: run 'make build', or name the command line in OSBUILDKIT", err)
	}
	// The machine's own wishes must not decide where the tests build.
	for _, v := range []string{"BUILDKIT_HOST", "SOURCE_DATE_EPOCH"} {
		if err := os.Unsetenv(v); err != nil {
			return 1, err
		}
	}
	shared.store = os.Getenv("OSBUILDKIT_TEST_STORE")
	if shared.store == "" {
		if shared.store, err = os.MkdirTemp("", "osbuildkit-e2e-"); err != nil {
			return 1, err
		}
		if os.Getenv("OSBUILDKIT_TEST_KEEP") == "" {
			defer func() { err = errors.Join(err, os.RemoveAll(shared.store)) }()
		}
	}
	if shared.store, err = filepath.Abs(shared.store); err != nil {
		return 1, err
	}
	if shared.mirror, err = StartMirror(Upstream(suite), Upstream(suite+"-security"), filepath.Join(shared.store, "mirror")); err != nil {
		return 1, err
	}
	defer shared.mirror.Close()
	defer func() { err = errors.Join(err, stopFrontend(), stopDistribution()) }()
	return run(), nil
}

// need skips the test where the machine cannot run it.
func need(t testing.TB, programs ...string) {
	t.Helper()
	if shared.skip != "" {
		t.Skip(shared.skip)
	}
	for _, p := range append(programs, "runc") {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed: run 'make setup'", p)
		}
	}
}

// process is a run of the command line.
type process struct {
	cmd    *exec.Cmd
	start  time.Time
	took   time.Duration
	stdout bytes.Buffer
	stderr bytes.Buffer // without the progress
	read   chan struct{}
	waited sync.Once

	mu       sync.Mutex
	steps    map[digest.Digest]*client.Vertex
	order    []digest.Digest
	watchers []*watcher
}

// watcher waits for a step to start.
type watcher struct {
	part string
	seen chan struct{}
	once sync.Once
}

// matches says whether the step has started and is the one that is waited for,
// and not the description of it, whose name holds that of the step.
func (w *watcher) matches(v *client.Vertex) bool {
	return v.Started != nil && !v.Cached && isStep(v.Name) && strings.Contains(v.Name, w.part)
}

// buildArgs completes the arguments of the build command.
func buildArgs(args ...string) []string {
	return append([]string{"build", "--store", shared.store, "--mirror", shared.mirror.URL(), "--progress", "rawjson"}, args...)
}

// startBuild starts a build in a process group of its own. The progress is
// asked for in a form that can be read.
func startBuild(t testing.TB, args ...string) *process {
	t.Helper()
	return start(t, exec.Command(shared.program, buildArgs(args...)...))
}

func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, start: time.Now(), read: make(chan struct{}), steps: map[digest.Digest]*client.Vertex{}}
	// A group of its own, so that a signal reaches all that the process has
	// started and nothing else.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout = &p.stdout
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = w
	if err := startBound(cmd); err != nil {
		t.Fatal(err)
	}
	w.Close()
	timer := time.AfterFunc(buildTimeout, func() { _ = p.signal(syscall.SIGKILL) })
	t.Cleanup(func() {
		timer.Stop()
		select {
		case <-p.read:
		default:
			_ = p.signal(syscall.SIGKILL)
		}
		p.wait()
	})
	go func() {
		defer close(p.read)
		defer r.Close()
		p.follow(r)
	}()
	return p
}

// follow reads standard error: progress in lines of JSON, and text.
func (p *process) follow(r io.Reader) {
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		var s client.SolveStatus
		p.mu.Lock()
		if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &s) == nil {
			p.note(&s)
		} else {
			p.stderr.Write(line)
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *process) note(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		if p.steps[v.Digest] == nil {
			p.order = append(p.order, v.Digest)
			p.steps[v.Digest] = v
		}
		old := p.steps[v.Digest]
		// Later reports of the same step complete earlier ones.
		old.Cached = old.Cached || v.Cached
		if v.Started != nil {
			old.Started = v.Started
		}
		if v.Completed != nil {
			old.Completed = v.Completed
		}
		for _, w := range p.watchers {
			if w.matches(v) {
				w.once.Do(func() { close(w.seen) })
			}
		}
	}
}

// started returns a channel that is closed when a step starts whose name
// contains part.
func (p *process) started(part string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &watcher{part: part, seen: make(chan struct{})}
	p.watchers = append(p.watchers, w)
	for _, v := range p.steps {
		if w.matches(v) {
			w.once.Do(func() { close(w.seen) })
		}
	}
	return w.seen
}

// await waits until something has happened while the process runs.
func (p *process) await(t testing.TB, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-p.read:
		p.wait()
		t.Fatalf("the process ended (code %d) before %s: %s", p.code(), what, p.text())
	case <-time.After(buildTimeout):
		t.Fatalf("%s did not happen", what)
	}
}

// signal sends a signal to the group of the process.
func (p *process) signal(sig syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, sig) }

// wait returns when the process has ended and all that it wrote was read.
func (p *process) wait() *process {
	p.waited.Do(func() {
		_ = p.cmd.Wait() // the exit code tells
		p.took = time.Since(p.start)
		<-p.read
	})
	return p
}

func (p *process) code() int { return p.cmd.ProcessState.ExitCode() }

// text is what the process wrote for people: to standard output, as the command
// line does where standard error has the progress, or to standard error beside it,
// as buildx does.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String() + p.stdout.String()
}

// ran lists the names of the steps that ran, not counting those whose result
// came from the cache, in order.
func (p *process) ran() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for _, d := range p.order {
		if v := p.steps[d]; v.Started != nil && v.Completed != nil && !v.Cached && isStep(v.Name) {
			names = append(names, v.Name)
		}
	}
	slices.Sort(names)
	return names
}

// count counts the operations whose names begin with a text.
func (p *process) count(prefix string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, v := range p.steps {
		if strings.HasPrefix(v.Name, prefix) {
			n++
		}
	}
	return n
}

// cached counts the steps whose result came from the cache.
func (p *process) cached() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, v := range p.steps {
		if v.Cached && isStep(v.Name) {
			n++
		}
	}
	return n
}

// isStep says whether a name is that of a step of a pipeline: "[tree 2/5] …".
func isStep(name string) bool {
	for _, p := range []string{"[tree ", "[toolbox ", "[assembler ", "[build"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// build builds and expects success.
func build(t testing.TB, args ...string) *process {
	t.Helper()
	p := startBuild(t, args...).wait()
	if p.code() != 0 {
		t.Fatalf("osbuildkit %s: exit code %d\n%s", strings.Join(args, " "), p.code(), p.text())
	}
	return p
}

// output runs a command and returns what it prints.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sys/unix"
)

// roleVar makes the test binary play another process, see TestMain.
const roleVar = "ENGINE_TEST_ROLE"

func TestMain(m *testing.M) {
	role, arg, _ := strings.Cut(os.Getenv(roleVar), " ")
	if role != "" {
		if err := playRole(role, arg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "closing the shared engine:", err)
		code = 1
	}
	os.Exit(code)
}

// playRole is what the other processes of the tests do.
func playRole(role, arg string) error {
	ctx := context.Background()
	switch role {
	case "shares-processes":
		fmt.Print(SharesProcesses())
		return nil
	case "solve-forever": // STORE STEP: print "running" once a step runs
		store, step, _ := strings.Cut(arg, " ")
		e, err := Open(ctx, Options{Builder: EmbeddedName, Store: store})
		if err != nil {
			return err
		}
		return sleepForever(ctx, e, step, func() { fmt.Println("running") })
	case "state": // STORE STEP: print the state of a step
		store, step, _ := strings.Cut(arg, " ")
		if os.Getenv(noHugePagesVar) != "" {
			if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
				return err
			}
		}
		e, err := Open(ctx, Options{Builder: EmbeddedName, Store: store})
		if err != nil {
			return err
		}
		got, err := stepState(ctx, e.Client(), step)
		fmt.Print(got)
		return errors.Join(err, e.Close())
	case "rootless-state": // STORE STEP: the same of an ordinary user
		store, _, _ := strings.Cut(arg, " ")
		ran, code, err := EnsurePrivileges(ctx, Options{Builder: EmbeddedName, Store: store})
		if err != nil {
			return err
		}
		if ran {
			os.Exit(code)
		}
		return playRole("state", arg)
	case "dial-stdio": // SOCKET: join stdin and stdout with a socket
		c, err := net.Dial("unix", arg)
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(c, os.Stdin)
			_ = c.(*net.UnixConn).CloseWrite()
		}()
		_, err = io.Copy(os.Stdout, c)
		return err
	case "rootless": // STORE STEP: what a command line does for one build
		store, step, _ := strings.Cut(arg, " ")
		e, err := openRootless(ctx, store)
		if err != nil {
			return err
		}
		got, err := solveFile(ctx, e.Client(), step, "rootless")
		if err != nil {
			return errors.Join(err, e.Close())
		}
		fmt.Printf("rootless=%v %s\n", Rootless(), got)
		if err := e.Close(); err != nil {
			return err
		}
		os.Exit(7) // a code that nothing else gives
	case "rootless-reach": // STORE STEP ADDRESS...: what a step with network reaches
		fields := strings.Fields(arg)
		e, err := openRootless(ctx, fields[0])
		if err != nil {
			return err
		}
		got, err := reach(ctx, e, fields[1], pb.NetMode_UNSET, nil, fields[2:])
		fmt.Printf("rootless=%v %s", Rootless(), got)
		return errors.Join(err, e.Close())
	case "rootless-signal": // STORE: exit with 40 and the number of SIGINTs seen
		sigs := make(chan os.Signal, 8)
		ran, code, err := EnsurePrivileges(ctx, Options{Builder: EmbeddedName, Store: arg})
		if err != nil {
			return err
		}
		if ran {
			os.Exit(code)
		}
		signal.Notify(sigs, os.Interrupt)
		fmt.Println("ready")
		<-sigs
		time.Sleep(300 * time.Millisecond)
		os.Exit(41 + len(sigs))
	}
	return fmt.Errorf("unknown role %q", role)
}

// openRootless opens the engine of a user without root: where the work is done by
// another process, this one ends with its exit code.
func openRootless(ctx context.Context, store string) (*Engine, error) {
	o := Options{Builder: EmbeddedName, Store: store}
	ran, code, err := EnsurePrivileges(ctx, o)
	if err != nil {
		return nil, err
	}
	if ran {
		os.Exit(code)
	}
	return Open(ctx, o)
}

// needEmbedded skips where the embedded engine cannot run, and returns the
// program for steps.
func needEmbedded(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts containers; not with -short")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := findRuntime(); err != nil {
		t.Skip("needs runc:", err)
	}
	step, err := buildStep()
	if err != nil {
		t.Fatal(err)
	}
	return step
}

// buildStep builds the program of the steps once.
var buildStep = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "engine-test-")
	if err != nil {
		return "", err
	}
	shared.dirs = append(shared.dirs, dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "step")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./testdata/step")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program for steps: %w: %s", err, out)
	}
	return path, nil
})

// shared is the one engine that most tests use.
var shared sharedEngine

type sharedEngine struct {
	once   sync.Once
	engine *Engine
	err    error
	dirs   []string
}

func (s *sharedEngine) get(t *testing.T) *Engine {
	t.Helper()
	s.once.Do(func() {
		dir, err := os.MkdirTemp("", "engine-test-")
		if err != nil {
			s.err = err
			return
		}
		s.dirs = append(s.dirs, dir)
		start := time.Now()
		s.engine, s.err = Open(context.Background(), Options{Builder: EmbeddedName, Store: dir})
		t.Logf("first start on an empty store: %s", time.Since(start).Round(time.Millisecond))
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.engine
}

func (s *sharedEngine) close() error {
	errs := []error{s.engine.Close()}
	for _, d := range s.dirs {
		errs = append(errs, os.RemoveAll(d))
	}
	return errors.Join(errs...)
}

// open opens an embedded engine on a store of its own.
func open(t *testing.T, store string) *Engine {
	t.Helper()
	return openWith(t, Options{Builder: EmbeddedName, Store: store})
}

func openWith(t *testing.T, o Options) *Engine {
	t.Helper()
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return e
}

// build solves what f makes on c. dir is a local directory named "step".
func build(ctx context.Context, c *client.Client, dir string, f gateway.BuildFunc) error {
	local, err := fsutil.NewFS(dir)
	if err != nil {
		return err
	}
	_, err = c.Build(ctx, client.SolveOpt{
		FrontendAttrs: map[string]string{},
		LocalMounts:   map[string]fsutil.FS{"step": local},
	}, "", f, nil)
	return err
}

// rootFS is an empty tree with the program of the steps, copied as the runner
// of a pipeline is.
func rootFS(step string) llb.State {
	src := llb.Local("step", llb.IncludePatterns([]string{filepath.Base(step)}))
	return llb.Scratch().File(llb.Copy(src, "/"+filepath.Base(step), "/step"))
}

// runStep runs the program in a step without network, and returns its /out.
func runStep(step string, args ...string) llb.State {
	return rootFS(step).Run(
		llb.Args(append([]string{"/step"}, args...)),
		llb.Network(llb.NetModeNone),
	).AddMount("/out", llb.Scratch(), llb.ContentCache(llb.MountContentCacheOff))
}

// readFile solves a state and reads one file of it.
func readFile(ctx context.Context, gw gateway.Client, st llb.State, name string) (string, error) {
	def, err := st.Marshal(ctx)
	if err != nil {
		return "", err
	}
	res, err := gw.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return "", err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return "", err
	}
	data, err := ref.ReadFile(ctx, gateway.ReadRequest{Filename: name})
	return string(data), err
}

// solveFile runs one step that writes text, and reads it back.
func solveFile(ctx context.Context, c *client.Client, step, text string) (got string, err error) {
	err = build(ctx, c, filepath.Dir(step), func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		var err error
		got, err = readFile(ctx, gw, runStep(step, "write", "/out/file", text), "file")
		return gateway.NewResult(), err
	})
	return got, err
}

// sleepForever runs a step that never ends and calls running once it prints.
func sleepForever(ctx context.Context, e *Engine, step string, running func()) error {
	local, err := fsutil.NewFS(filepath.Dir(step))
	if err != nil {
		return err
	}
	def, err := runStep(step, "sleep", identity.NewID()).Marshal(ctx)
	if err != nil {
		return err
	}
	status := make(chan *client.SolveStatus)
	go func() {
		var once sync.Once
		for s := range status {
			if len(s.Logs) > 0 {
				once.Do(running)
			}
		}
	}()
	_, err = e.Client().Solve(ctx, def, client.SolveOpt{
		FrontendAttrs: map[string]string{},
		LocalMounts:   map[string]fsutil.FS{"step": local},
	}, status)
	return err
}

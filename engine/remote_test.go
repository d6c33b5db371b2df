//go:build linux

package engine

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	apitypes "github.com/moby/buildkit/api/types"
	"google.golang.org/grpc"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// serveShared serves the shared engine on a socket for the time of a test.
func serveShared(t *testing.T) (socket string) {
	t.Helper()
	e := shared.get(t)
	dir, err := os.MkdirTemp("", "engine-sock-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx, "unix", socket) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("serve:", err)
		}
		if exists(socket) {
			t.Error("the socket is left")
		}
		os.RemoveAll(dir)
	})
	waitFor(t, func() bool { return exists(socket) })
	return socket
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("waited for 10 s")
		}
	}
}

func TestAddressProvider(t *testing.T) {
	step := needEmbedded(t)
	socket := serveShared(t)
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", st.Mode(), err)
	}
	t.Setenv("BUILDKIT_HOST", "unix://"+socket)
	e, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Kind() != Address || e.Target() != "unix://"+socket {
		t.Errorf("%s %s", e.Kind(), e.Target())
	}
	if got, err := solveFile(t.Context(), e.Client(), step, "by address"); err != nil || got != "by address" {
		t.Errorf("%q, %v", got, err)
	}
	if err := e.Serve(t.Context(), "unix", socket+"2"); err == nil || !strings.Contains(err.Error(), "only the embedded engine") {
		t.Errorf("serving a remote engine: %v", err)
	}
	if err := shared.engine.Serve(t.Context(), "unix", socket); err == nil || !strings.Contains(err.Error(), "another process serves there") {
		t.Errorf("serving twice on one socket: %v", err)
	}
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ network, addr, err string }{
		{"tcp", "0.0.0.0:0", "not a loopback address"},
		{"tcp", ":0", "not a loopback address"},
		{"tcp", "example.org:1", "not a loopback address"},
		{"unix", file, "is not a socket"},
		{"udp", "127.0.0.1:0", "unknown network"},
	} {
		l, err := listen(t.Context(), tt.network, tt.addr)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("listen(%s, %s): %v, want %q", tt.network, tt.addr, err, tt.err)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "precious" {
		t.Errorf("the file was touched: %q, %v", data, err)
	}
}

// A socket whose process was killed is replaced.
func TestServeStaleSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("socket:", err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close()
	l, err := listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestAddressErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	for _, tt := range []struct {
		o   Options
		err []string
	}{
		{Options{Builder: "tcp://" + closed}, []string{"BuildKit at tcp://" + closed + " does not answer: ", "connection refused; start the daemon, or choose another with --builder"}},
		{Options{Builder: "unix://" + dir + "/none"}, []string{"BuildKit at unix://" + dir + "/none: the socket does not exist; start the daemon"}},
		{Options{Builder: "unix://" + dir, TLS: TLS{Cert: "x"}}, []string{"certificates are for tcp:// addresses"}},
		{Options{Builder: "tcp://h:1", TLS: TLS{Cert: "x"}}, []string{"needs its key"}},
		{Options{Builder: "tcp://h:1", TLS: TLS{CACert: dir + "/none"}}, []string{"certificate: stat", "no such file"}},
	} {
		e, err := Open(t.Context(), tt.o)
		if err == nil {
			t.Errorf("%s: no error", tt.o.Builder)
			e.Close()
			continue
		}
		for _, want := range tt.err {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %q, want %q on one line", tt.o.Builder, err, want)
			}
		}
	}
}

// oldDaemon answers as a daemon of another version does.
type oldDaemon struct {
	controlapi.UnimplementedControlServer
	version string
}

func (d oldDaemon) Info(ctx context.Context, r *controlapi.InfoRequest) (*controlapi.InfoResponse, error) {
	if d.version == "" {
		return d.UnimplementedControlServer.Info(ctx, r)
	}
	return &controlapi.InfoResponse{BuildkitVersion: &apitypes.BuildkitVersion{Version: d.version}}, nil
}

func TestOldDaemon(t *testing.T) {
	t.Parallel()
	for version, old := range map[string]bool{"": true, "v0.12.5": true, "v0.13.0": false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		controlapi.RegisterControlServer(s, oldDaemon{version: version})
		go s.Serve(l)
		e, err := Open(t.Context(), Options{Builder: "tcp://" + l.Addr().String()})
		if err == nil {
			e.Close()
		}
		if errors.Is(err, errTooOld) != old || !old && err != nil {
			t.Errorf("version %q: %v", version, err)
		}
		s.Stop()
	}
}

// fakeDocker puts a docker on PATH whose buildx dials a socket for the builder
// "good", never ends for "deaf", and fails for all others.
func fakeDocker(t *testing.T, socket string) {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
[ "$1 $2 $3" = "buildx dial-stdio --builder" ] || { echo "bad arguments: $*" >&2; exit 1; }
echo $$ >>` + dir + `/pids
case $4 in
good) ` + roleVar + `="dial-stdio ` + socket + `" exec ` + os.Args[0] + ` ;;
esac
echo "ERROR: no builder \"$4\" found" >&2
exit 1
`
	treetest.Program(t, filepath.Join(dir, "docker"), []byte(script))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Cleanup(func() {
		pids, err := os.ReadFile(filepath.Join(dir, "pids"))
		if err != nil {
			t.Error("docker was never started:", err)
		}
		for _, pid := range strings.Fields(string(pids)) {
			if exists("/proc/" + pid) {
				t.Errorf("process %s of docker is left", pid)
			}
		}
	})
}

func TestBuildxProvider(t *testing.T) {
	step := needEmbedded(t)
	fakeDocker(t, serveShared(t))
	e, err := Open(t.Context(), Options{Builder: "good"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind() != Buildx || e.Target() != "good" {
		t.Errorf("%s %s", e.Kind(), e.Target())
	}
	if got, err := solveFile(t.Context(), e.Client(), step, "by buildx"); err != nil || got != "by buildx" {
		t.Errorf("%q, %v", got, err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestBuildxErrors(t *testing.T) {
	fakeDocker(t, "")
	_, err := Open(t.Context(), Options{Builder: "other"})
	want := `buildx builder other does not answer: no builder "other" found; see "docker buildx ls" for the builders there are`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestBuildxMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Open(t.Context(), Options{Builder: "some"})
	if err == nil || !strings.Contains(err.Error(), "buildx builder some: neither docker nor buildx is on PATH; install") {
		t.Error(err)
	}
}

// The connection over a program ends the program, also one that does not listen.
func TestStdioClose(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"cat", "exec sleep 100"} {
		var errs tail
		c, err := startStdio([]string{"/bin/sh", "-c", script}, &errs)
		if err != nil {
			t.Fatal(err)
		}
		if script == "cat" {
			if _, err := c.Write([]byte("ping")); err != nil {
				t.Error(err)
			}
			buf := make([]byte, 4)
			if _, err := c.Read(buf); err != nil || string(buf) != "ping" {
				t.Errorf("%q, %v", buf, err)
			}
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: read after the deadline: %v", script, err)
		}
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > 3*stdioGrace {
			t.Errorf("%s: closing took %s", script, d)
		}
		if pid := c.(*stdioConn).cmd.ProcessState; pid == nil {
			t.Errorf("%s: the program was not waited for", script)
		}
	}
	if _, err := startStdio([]string{"/nonexistent/program"}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing program: %v", err)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	var tl tail
	for range 10 {
		tl.Write([]byte(strings.Repeat("x", 1000)))
	}
	tl.Write([]byte("\nlast line\n"))
	if got := tl.String(); len(got) != maxTail || lastLine(got) != "last line" {
		t.Errorf("%d bytes, last line %q", len(got), lastLine(got))
	}
}

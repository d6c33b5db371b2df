//go:build linux

package engine

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/tonistiigi/fsutil"
)

// listenHere listens on this machine's loopback and on one of its other addresses,
// if it has one, and returns the addresses.
func listenHere(t *testing.T) []string {
	t.Helper()
	hosts := []string{"127.0.0.1", "::1"}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && len(hosts) == 2 {
			hosts = append(hosts, ip.IP.String())
		}
	}
	var addresses []string
	for _, h := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(h, "0"))
		if err != nil {
			t.Log("nothing listens on ", h, ": ", err) // a machine without IPv6
			continue
		}
		t.Cleanup(func() { l.Close() })
		addresses = append(addresses, l.Addr().String())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
	}
	return addresses
}

// reach says what a step of a network mode reaches, and its interfaces.
func reach(ctx context.Context, e *Engine, step string, mode pb.NetMode, allow []string, addresses []string) (got string, err error) {
	local, err := fsutil.NewFS(filepath.Dir(step))
	if err != nil {
		return "", err
	}
	_, err = e.Client().Build(ctx, client.SolveOpt{
		FrontendAttrs: map[string]string{}, LocalMounts: map[string]fsutil.FS{"step": local}, AllowedEntitlements: allow,
	}, "", func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		var err error
		st := rootFS(step).Run(llb.Args(append([]string{"/step", "reach", "/out/n"}, addresses...)), llb.Network(mode)).AddMount("/out", llb.Scratch())
		got, err = readFile(ctx, gw, st, "n")
		return gateway.NewResult(), err
	}, nil)
	return got, err
}

// TestStepNetwork shows what steps with network see of this machine: nothing, but
// where its network is allowed and asked for.
func TestStepNetwork(t *testing.T) {
	step := needEmbedded(t)
	addresses := listenHere(t)
	closed := shared.get(t)
	if got, err := reach(t.Context(), closed, step, pb.NetMode_UNSET, nil, addresses); err != nil || got != "lo net0" {
		t.Errorf("a step with network has %q, %v", got, err)
	}
	for _, c := range []struct {
		allow []string
		want  string
	}{{nil, "network.host is not allowed"}, {[]string{AllowHostNetwork}, "granting entitlement network.host is not allowed"}} {
		if got, err := reach(t.Context(), closed, step, pb.NetMode_HOST, c.allow, addresses); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the machine's network with %q: %q, %v", c.allow, got, err)
		}
	}
	open := openWith(t, Options{Builder: EmbeddedName, Store: t.TempDir(), Allow: []string{AllowHostNetwork}})
	if got, err := reach(t.Context(), open, step, pb.NetMode_HOST, nil, addresses); err == nil || !strings.Contains(err.Error(), "network.host is not allowed") {
		t.Errorf("the machine's network, which the build does not allow: %q, %v", got, err)
	}
	if got, err := reach(t.Context(), open, step, pb.NetMode_HOST, []string{AllowHostNetwork}, addresses); err != nil || !strings.HasPrefix(got, strings.Join(addresses, " ")+" lo") {
		t.Errorf("with the machine's network a step has %q, %v", got, err)
	}
	if got, err := reach(t.Context(), open, step, pb.NetMode_UNSET, []string{AllowHostNetwork}, addresses); err != nil || got != "lo net0" {
		t.Errorf("a step that asks for a network of its own has %q, %v", got, err)
	}
}

// TestRootlessStepNetwork shows the same where the user is not root.
func TestRootlessStepNetwork(t *testing.T) {
	dir, store, step := needRootless(t)
	cmd := asUser(t, dir, "rootless-reach "+store+" "+step+" "+strings.Join(listenHere(t), " "), "enginetest:100000:65536\n")
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "apparmor") {
		t.Skipf("AppArmor forbids user namespaces: %s", out)
	}
	if string(out) != "rootless=true lo net0" {
		t.Errorf("%v: %s", err, out)
		if data, err := os.ReadFile(filepath.Join(store, "buildkit", "engine.log")); err == nil {
			t.Logf("the engine's log: %s", data)
		}
	}
	assertClean(t, store)
}

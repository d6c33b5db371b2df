package usernet

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/util/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// insideVar says that the process is in a network namespace made for the tests,
// which plays the machine: nothing of the real one is touched, or reached.
const insideVar = "USERNET_TEST_INSIDE"

// skip says why the tests cannot run here, or is empty.
var skip string

func TestMain(m *testing.M) {
	if os.Getenv(insideVar) != "" {
		err := makeWorld()
		if err != nil {
			skip = err.Error()
		}
		os.Exit(m.Run())
	}
	if flag.Parse(); isSet("test.fuzz") || isSet("test.fuzzworker") {
		skip = "fuzzing needs no network"
		os.Exit(m.Run())
	}
	// Once with the kernel's device, and once without it.
	code := 0
	for _, d := range []string{tunDevice, "/dev/net/none"} {
		c, err := runInside(d)
		if err != nil {
			skip = "no network namespace can be made: " + err.Error()
			c = m.Run()
		}
		code = max(code, c)
	}
	os.Exit(code)
}

// isSet tells whether a flag of the test's program has a value.
func isSet(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != f.DefValue
}

// runInside runs the tests in a namespace.
func runInside(device string) (code int, err error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVar+"="+device)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// Addresses of the world: those of the machine and of the server that it reaches.
const (
	machine4, server4 = "198.51.100.1", "198.51.100.2"
	machine6, server6 = "2001:db8:1::1", "2001:db8:1::2"
	// anyAddress is one of a network that the machine has as a whole.
	anyAddress = "203.0.113.77"
	// cloud is where a cloud's metadata are, on the server's side.
	cloud = "169.254.169.254"
)

// outside is the namespace of the server. It is never closed.
var outside int

// makeWorld makes, in the namespace of this process, a machine with an interface
// behind which there is a server.
func makeWorld() error {
	err := OnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		outside, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "up0"}, PeerName: "down0", PeerNamespace: netlink.NsFd(outside)}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("a pair of interfaces: %w", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/up0/accept_dad", []byte("0"), 0); err != nil {
		return err
	}
	if err := give("up0", machine4+"/24", machine6+"/64"); err != nil {
		return err
	}
	if err := in(outside, func() error { return give("down0", server4+"/24", server6+"/64", cloud+"/32", "100.100.100.200/32") }); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	up, err := netlink.LinkByName("up0")
	if err != nil {
		return err
	}
	// The kernel drops packets until it has noticed that the link is there.
	for start := time.Now(); up.Attrs().OperState != netlink.OperUp && time.Since(start) < 10*time.Second; {
		time.Sleep(5 * time.Millisecond)
		if up, err = netlink.LinkByName("up0"); err != nil {
			return err
		}
	}
	for _, r := range []netlink.Route{
		{LinkIndex: up.Attrs().Index, Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0")), Gw: net.ParseIP(server4)},
		{LinkIndex: up.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(cloud + "/32")), Scope: netlink.SCOPE_LINK},
		{LinkIndex: lo.Attrs().Index, Dst: ipNet(netip.MustParsePrefix("203.0.113.0/24")), Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST},
	} {
		if err := netlink.RouteAdd(&r); err != nil {
			return fmt.Errorf("route to %s: %w", r.Dst, err)
		}
	}
	return nil
}

// give gives an interface of this namespace addresses.
func give(name string, addresses ...string) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, l := range []string{"lo", name} {
		link, err := h.LinkByName(l)
		if err == nil {
			err = h.LinkSetUp(link)
		}
		if err != nil {
			return err
		}
		for _, a := range addresses {
			if l == "lo" {
				break
			}
			if err := h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(a)), Flags: unix.IFA_F_NODAD}); err != nil {
				return fmt.Errorf("%s: %w", a, err)
			}
		}
	}
	return nil
}

// in runs a function on a thread that is in a namespace.
func in(ns int, do func() error) error {
	return OnThread(func() error {
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return do()
	})
}

// need skips a test where there is no world.
func need(t testing.TB) {
	t.Helper()
	if skip != "" {
		t.Skip(skip)
	}
}

// listen listens in a namespace, or on the machine if that is 0.
func listen(t testing.TB, ns int, address string) net.Listener {
	t.Helper()
	var l net.Listener
	do := func() (err error) { l, err = net.Listen("tcp", address); return err }
	err := error(nil)
	if ns == 0 {
		err = do()
	} else {
		err = in(ns, do)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serve answers each connection with what it is told to, after the client has said
// all that it has to say.
func serve(l net.Listener, answer func(said []byte) []byte) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				said, _ := io.ReadAll(c)
				_, _ = c.Write(answer(said))
			}()
		}
	}()
}

// makeStep makes the network of a step, with a name server on the machine's loopback.
func makeStep(t testing.TB) *namespace {
	t.Helper()
	p := New()
	p.device = os.Getenv(insideVar)
	p.resolvers = filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(p.resolvers, []byte("nameserver 127.0.0.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ns, err := p.New(t.Context(), "", network.NamespaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns.(*namespace)
}

// dial connects as a step does.
func (n *namespace) dialInside(network, address string) (c net.Conn, err error) {
	err = in(int(n.ns.Fd()), func() error {
		d := net.Dialer{Timeout: 5 * time.Second}
		c, err = d.DialContext(context.Background(), network, address)
		return err
	})
	return c, err
}

// talk says something and returns the answer.
func talk(c net.Conn, say string) (string, error) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(c, strings.NewReader(say)); err != nil {
		return "", err
	}
	if s, ok := c.(stream); ok {
		if err := s.CloseWrite(); err != nil {
			return "", err
		}
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}

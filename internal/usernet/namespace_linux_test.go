package usernet

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestReaches shows that a step reaches a server that the machine reaches, both
// ways and with an end in each direction.
func TestReaches(t *testing.T) {
	need(t)
	for _, address := range []string{server4, server6} {
		l := listen(t, outside, net.JoinHostPort(address, "0"))
		serve(l, func(said []byte) []byte { return append([]byte("you said "), said...) })
		c, err := makeStep(t).dialInside("tcp", l.Addr().String())
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if got, err := talk(c, "hello"); err != nil || got != "you said hello" {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
}

// TestLarge sends more than any buffer holds, and checks what has arrived.
func TestLarge(t *testing.T) {
	need(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	l := listen(t, outside, server4+":0")
	serve(l, func(said []byte) []byte { return said })
	c, err := makeStep(t).dialInside("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := talk(c, string(data)); err != nil || got != string(data) {
		t.Errorf("%d bytes of %d came back, %v", len(got), len(data), err)
	}
}

// TestRefused shows what a step does not reach, although a server listens there and
// the machine reaches it.
func TestRefused(t *testing.T) {
	need(t)
	step := makeStep(t)
	for _, c := range []struct {
		name, listen, dial string
		ns                 int
	}{
		{name: "loopback", listen: "127.0.0.1:0"},
		{name: "loopback of IPv6", listen: "[::1]:0"},
		{name: "other address of loopback", listen: "127.0.0.9:0"},
		{name: "own address", listen: machine4 + ":0"},
		{name: "own address of IPv6", listen: "[" + machine6 + "]:0"},
		{name: "own address, mapped", listen: machine4 + ":0", dial: "::ffff:" + machine4},
		{name: "own network", listen: "0.0.0.0:0", dial: anyAddress},
		{name: "any", listen: "0.0.0.0:0", dial: "0.0.0.0"},
		{name: "metadata", listen: cloud + ":0", ns: outside},
		{name: "metadata elsewhere", listen: "100.100.100.200:0", ns: outside},
		{name: "name server's machine", listen: "0.0.0.0:0", dial: Nameserver},
	} {
		l := listen(t, c.ns, c.listen)
		serve(l, func([]byte) []byte { return []byte("reached") })
		address := l.Addr().(*net.TCPAddr)
		if c.dial != "" {
			address.IP = net.ParseIP(c.dial)
		}
		if c.dial != Nameserver {
			own, err := net.Dial("tcp", address.String())
			if err != nil {
				t.Errorf("%s: the machine itself does not reach %s: %v", c.name, address, err)
				continue
			}
			own.Close()
		}
		conn, err := step.dialInside("tcp", address.String())
		if err == nil {
			got, _ := talk(conn, "")
			t.Errorf("%s: a step reaches %s and gets %q", c.name, address, got)
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: the step waits for an answer: %v", c.name, err)
		}
	}
}

// TestUDP sends packets to a server, to the machine, and to metadata.
func TestUDP(t *testing.T) {
	need(t)
	step := makeStep(t)
	for _, c := range []struct {
		ns      int
		address string
		want    string
	}{
		{outside, server4, "hello"}, {outside, "[" + server6 + "]", "hello"}, {0, "127.0.0.1", ""}, {0, machine4, ""}, {outside, cloud, ""},
	} {
		var server net.PacketConn
		do := func() (err error) { server, err = net.ListenPacket("udp", c.address+":0"); return err }
		err := error(nil)
		if c.ns == 0 {
			err = do()
		} else {
			err = in(c.ns, do)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		go func() {
			b := make([]byte, 100)
			for {
				k, from, err := server.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = server.WriteTo(b[:k], from)
			}
		}()
		conn, err := step.dialInside("udp", server.LocalAddr().String())
		got := ""
		if err == nil {
			// A packet may be lost, and the last one is for a peer that is known already.
			for range 5 {
				_ = conn.SetDeadline(time.Now().Add(time.Second))
				_, _ = conn.Write([]byte("hello"))
				b := make([]byte, 100)
				k, _ := conn.Read(b)
				got = string(b[:k])
			}
			conn.Close()
		}
		if got != c.want {
			t.Errorf("%s: the answer is %q, want %q", c.address, got, c.want)
		}
	}
}

// TestNames asks the machine's name server, which is on loopback, over both protocols.
func TestNames(t *testing.T) {
	need(t)
	udp, err := net.ListenPacket("udp", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	go func() {
		b := make([]byte, 512)
		for {
			k, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte("xx is another question's"), from)
			_, _ = udp.WriteTo(append(b[:k:k], " answered"...), from)
		}
	}()
	serve(listen(t, 0, "127.0.0.53:53"), func(said []byte) []byte { return append(said, " by tcp"...) })
	step := makeStep(t)
	c, err := step.dialInside("udp", Nameserver+":53")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"ab question", "cd question"} {
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 100)
		_, _ = c.Write([]byte(q))
		if k, err := c.Read(b); err != nil || string(b[:k]) != q+" answered" {
			t.Errorf("%q, %v", b[:k], err)
		}
	}
	c.Close()
	if c, err = step.dialInside("tcp", Nameserver+":53"); err != nil {
		t.Fatal(err)
	}
	if got, err := talk(c, "question"); err != nil || got != "question by tcp" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestInterfaces shows that a step has two interfaces of its own and routes to
// nothing of the link.
func TestInterfaces(t *testing.T) {
	need(t)
	step := makeStep(t)
	err := in(int(step.ns.Fd()), func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		links, err := h.LinkList()
		if err != nil {
			return err
		}
		var names []string
		for _, l := range links {
			// The kernel makes those of tunnels by itself, and they are down.
			if l.Attrs().Flags&net.FlagUp != 0 {
				names = append(names, l.Attrs().Name)
			}
		}
		if got := strings.Join(names, " "); got != "lo net0" {
			t.Errorf("the interfaces are %s", got)
		}
		for _, a := range []string{cloud, "fe80::1"} {
			if routes, err := h.RouteGet(net.ParseIP(a)); err == nil && (a == cloud || routes[0].Type != unix.RTN_UNREACHABLE) {
				t.Errorf("%s has the route %v", a, routes)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var s specs.Spec
	if err := step.Set(&s); err != nil || len(s.Linux.Namespaces) != 1 || s.Linux.Namespaces[0].Type != specs.NetworkNamespace {
		t.Fatalf("%+v, %v", s.Linux, err)
	}
	var own, given syscall.Stat_t
	if err := errors.Join(syscall.Stat("/proc/self/ns/net", &own), syscall.Stat(s.Linux.Namespaces[0].Path, &given)); err != nil || own.Ino == given.Ino {
		t.Errorf("the namespace of the step is %d, that of the machine is %d, %v", given.Ino, own.Ino, err)
	}
}

// count returns how many goroutines, descriptors and tasks in other namespaces
// this process has.
func count(t *testing.T) (goroutines, descriptors int, namespaces map[string]bool) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	namespaces = map[string]bool{}
	for _, p := range tasks {
		if ns, err := os.Readlink(p); err == nil { // a thread may have ended
			namespaces[ns] = true
		}
	}
	return runtime.NumGoroutine(), len(fds), namespaces
}

// TestLeaks runs eight steps at once with connections in all states and ends them
// in the midst of it: nothing of them is left.
func TestLeaks(t *testing.T) {
	need(t)
	l := listen(t, outside, server4+":0")
	serve(l, func([]byte) []byte { return bytes.Repeat([]byte("x"), 8<<20) })
	round := func() {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				step := makeStep(t)
				for i, address := range []string{l.Addr().String(), l.Addr().String(), server4 + ":1", "127.0.0.1:1", "203.0.114.1:80"} {
					c, err := step.dialShort("tcp", address)
					if err != nil {
						continue
					}
					defer c.Close()
					if s, ok := c.(stream); ok && i == 0 {
						_ = s.CloseWrite() // and nobody reads the answer
					}
				}
				for _, address := range []string{server4 + ":9", Nameserver + ":53"} {
					if c, err := step.dialInside("udp", address); err == nil {
						_, _ = c.Write([]byte("anybody?"))
						defer c.Close()
					}
				}
				if err := step.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	round() // what is made once stays
	var g0, d0, g, d int
	var ns map[string]bool
	settle := func(want func() bool) bool {
		for range 200 {
			runtime.GC()
			if g, d, ns = count(t); want() {
				return true
			}
			time.Sleep(20 * time.Millisecond)
		}
		return false
	}
	time.Sleep(200 * time.Millisecond)
	settle(func() bool { return len(ns) == 1 })
	g0, d0 = g, d
	for range 3 {
		round()
	}
	if !settle(func() bool { return g <= g0 && d <= d0 && len(ns) == 1 }) {
		var stacks bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		t.Errorf("before: %d goroutines, %d descriptors; after 24 steps: %d, %d, and threads in %d namespaces\n%s", g0, d0, g, d, len(ns), stacks.String())
	}
}

func (n *namespace) dialShort(network, address string) (c net.Conn, err error) {
	err = in(int(n.ns.Fd()), func() error {
		c, err = net.DialTimeout(network, address, 200*time.Millisecond)
		return err
	})
	return c, err
}

// TestBound shows that a step with too many connections gets no more, and that
// others do.
func TestBound(t *testing.T) {
	need(t)
	l := listen(t, outside, server4+":0")
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	step, other := makeStep(t), makeStep(t)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range maxRelays {
		c, err := step.dialInside("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if c, err := step.dialInside("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Errorf("there are more than %d connections", maxRelays)
	}
	c, err := other.dialInside("tcp", l.Addr().String())
	if err != nil {
		t.Fatal("another step: ", err)
	}
	c.Close()
}

// TestNoInterface shows what is said where no interface can be made, and that
// nothing is left of the attempt.
func TestNoInterface(t *testing.T) {
	need(t)
	_, d0, _ := count(t)
	w, err := openTUN("/dev/null")
	if err == nil {
		t.Fatal("an interface of /dev/null: ", w.file.Close())
	}
	if _, d, _ := count(t); d > d0 {
		t.Errorf("%d descriptors, and %d before", d, d0)
	}
	text := noInterface(tunDevice, err, unix.EOPNOTSUPP).Error()
	for _, want := range []string{"/dev/net/tun", "inappropriate ioctl", "not supported", "modprobe tun", "--device", "--allow network.host"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in: %s", want, text)
		}
	}
}

// TestRefuseKind judges addresses by themselves.
func TestRefuseKind(t *testing.T) {
	for address, want := range map[string]string{
		"8.8.8.8": "", "10.0.0.1": "", "2001:db8::1": "", "fd00::1": "", "64:ff9b::808:808": "",
		"127.0.0.1": "loopback", "::1": "loopback", "0.0.0.0": "loopback", "0.1.2.3": "loopback", "::": "loopback",
		"::7f00:1": "loopback", "64:ff9b::7f00:1": "loopback", "::ffff:0:7f00:1": "loopback",
		"169.254.169.254": "link-local", "fe80::1": "link-local", "64:ff9b::a9fe:a9fe": "link-local",
		"224.0.0.1": "one machine", "255.255.255.255": "one machine", "ff02::1": "one machine",
		"fd00:ec2::254": "metadata", "100.100.100.200": "metadata", "168.63.129.16": "metadata",
	} {
		err := refuseKind(netip.MustParseAddr(address))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	for _, mapped := range []string{"::ffff:127.0.0.1", "::ffff:169.254.169.254"} {
		if refuse(netip.MustParseAddr(mapped)) == nil {
			t.Errorf("%s is let through", mapped)
		}
	}
}

// FuzzPackets sends any packet to the stack of a step.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1, 0, 1, 0, 53, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1, 0, 1, 0, 53, 0, 9, 0, 0, 1})
	f.Add(append([]byte{0x60, 0, 0, 0, 0, 8, 44, 64}, make([]byte, 40)...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if protocol, ok := protocolOf(packet); ok && protocol == 0 {
			t.Error("a packet of no protocol is passed on")
		}
	})
}

// BenchmarkDownload measures what a step gets from a server.
func BenchmarkDownload(b *testing.B) {
	need(b)
	const size = 200 << 20
	data := make([]byte, 1<<20)
	l := listen(b, outside, server4+":0")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for range size / len(data) {
					if _, err := c.Write(data); err != nil {
						return
					}
				}
			}()
		}
	}()
	for _, way := range []string{"machine", "step"} {
		b.Run(way, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				var c net.Conn
				var err error
				if way == "step" {
					c, err = makeStep(b).dialInside("tcp", l.Addr().String())
				} else {
					c, err = net.Dial("tcp", l.Addr().String())
				}
				if err != nil {
					b.Fatal(err)
				}
				var got int
				buffer := make([]byte, 256<<10)
				for {
					k, err := c.Read(buffer)
					got += k
					if err != nil {
						break
					}
				}
				c.Close()
				if got != size {
					b.Fatal(fmt.Sprintf("%d bytes", got))
				}
			}
		})
	}
}

// BenchmarkStart measures what the network adds to the start and the end of a step.
func BenchmarkStart(b *testing.B) {
	need(b)
	for b.Loop() {
		if err := makeStep(b).Close(); err != nil {
			b.Fatal(err)
		}
	}
}

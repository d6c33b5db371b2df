package usernet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// interfaceName is the name of the interface that a step has beside loopback.
const interfaceName = "net0"

// mtu in bytes is that of the interface: its packets go no further than this
// process, and few large ones cost less than many small ones.
const mtu = 65520

// addressesByHand is IN6_ADDR_GEN_MODE_NONE of the kernel.
const addressesByHand = 1

// unreachable are the networks that a step has no route to. The process at the
// other end refuses them as well.
var unreachable = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fe80::/10"),
}

// makeNamespace makes a network namespace with an interface, and returns both: the
// namespace lives as long as its file is open, and the interface as long as its wire.
func makeNamespace(device string) (*os.File, *wire, error) {
	var ns *os.File
	var w *wire
	err := OnThread(func() (err error) {
		ns, w, err = enterNamespace(device)
		return err
	})
	return ns, w, err
}

// OnThread runs a function on a thread that ends with it, so that it may enter
// namespaces. The process's first thread cannot end, and what is read of it counts as
// the process's, so another one is taken.
func OnThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- OnThread(do)
			return
		}
		done <- do()
	}()
	return <-done
}

// enterNamespace moves the calling thread into a new namespace and sets that up.
func enterNamespace(device string) (_ *os.File, _ *wire, err error) {
	ns, err := unshareNetwork()
	if err != nil {
		return nil, nil, err
	}
	w, err := openTUN(device)
	if err != nil {
		// The device is for root alone on some machines, and in many containers it is
		// missing. A pair of interfaces needs none, and is a little slower.
		var pairErr error
		if w, pairErr = makePair(ns); pairErr != nil {
			return nil, nil, errors.Join(noInterface(device, err, pairErr), ns.Close())
		}
	}
	if err := configure(); err != nil {
		return nil, nil, errors.Join(err, w.file.Close(), ns.Close())
	}
	return ns, w, nil
}

// unshareNetwork moves the calling thread into a new namespace, and returns that.
func unshareNetwork() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("a network namespace for the step: %w", err)
	}
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("the network namespace of the step: %w", err)
	}
	return ns, nil
}

// noInterface says what to do where the kernel makes no interface. The network of
// the machine is never taken in its place.
func noInterface(device string, tun, pair error) error {
	return fmt.Errorf("this step has the network, and no interface can be made for it, neither with %s (%w) nor as a pair (%w): as root, modprobe tun or modprobe veth; "+
		"start a container with --device %s; or give such steps the network of this machine itself, its loopback included, with --allow network.host", device, tun, pair, device)
}

// configure gives the interface of the thread's namespace its addresses and routes.
func configure() (err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("the network of the step: %w", err)
	}
	defer h.Close()
	loopback, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("the network of the step: %w", err)
	}
	link, err := h.LinkByName(interfaceName)
	if err != nil {
		return fmt.Errorf("the network of the step: %w", err)
	}
	// Without an address of the link itself there is nothing that it could be
	// reached by but what is given here. A kernel without IPv6 knows no such mode.
	_ = h.LinkSetIP6AddrGenMode(link, addressesByHand)
	_ = h.LinkSetARPOff(link) // a pair has addresses of its link, which nobody asks for
	for _, do := range []func() error{
		func() error { return h.LinkSetUp(loopback) },
		func() error { return h.LinkSetMTU(link, mtu) },
		func() error { return h.LinkSetUp(link) },
		func() error { return giveAddress(h, link, stepAddress4, netip.MustParsePrefix("0.0.0.0/0")) },
	} {
		if err := do(); err != nil {
			return fmt.Errorf("the network of the step: %w", err)
		}
	}
	err = giveAddress(h, link, stepAddress6, netip.MustParsePrefix("::/0"))
	if err != nil && !withoutIPv6(err) {
		return fmt.Errorf("the network of the step: IPv6: %w", err)
	}
	for _, p := range unreachable {
		err := h.RouteAdd(&netlink.Route{Dst: ipNet(p), Type: unix.RTN_UNREACHABLE})
		if err != nil && !(p.Addr().Is6() && withoutIPv6(err)) {
			return fmt.Errorf("the network of the step: no route to %s: %w", p, err)
		}
	}
	return nil
}

// withoutIPv6 tells whether an error is that of a kernel in which IPv6 is missing
// or switched off.
func withoutIPv6(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}

// giveAddress gives the link an address, and makes it the way to all others.
func giveAddress(h *netlink.Handle, link netlink.Link, a netip.Addr, to netip.Prefix) error {
	address := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen())), Flags: unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE}
	if err := h.AddrAdd(link, address); err != nil {
		return fmt.Errorf("address %s: %w", a, err)
	}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(to), Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("route through %s: %w", a, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

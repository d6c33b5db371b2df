package usernet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addresses of a step's interface. They are of ranges for documentation and for
// private use that no network has, so that they hide no machine from the step: it
// has no other address on its link, and all else goes through it. With a private
// IPv6 address, programs try IPv4 first, which is right where this machine has no
// IPv6 itself.
var (
	stepAddress4  = netip.MustParseAddr("192.0.2.2")
	stepAddress6  = netip.MustParseAddr("fd6f:7362:6b00::2")
	serverAddress = netip.MustParseAddr("192.0.2.1")
)

// Nameserver is the address of the name server that steps have.
const Nameserver = "192.0.2.1"

// metadata are the services that give a machine's credentials to whoever runs on
// it, as far as their addresses are not link-local.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // Amazon
	netip.MustParseAddr("fd20:ce::254"),    // Google
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("168.63.129.16"),   // Azure
}

// embedded are the prefixes of IPv6 addresses that hold one of IPv4 in their last
// four bytes, which a translator on this machine, or in its network, would use.
var embedded = []netip.Prefix{
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("::ffff:0:0:0/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
}

// refuse says why a step may not reach an address, or nil. The routes of the machine
// are asked each time: its addresses change.
func refuse(a netip.Addr) error {
	a = a.Unmap()
	if err := refuseKind(a); err != nil {
		return err
	}
	routes, err := netlink.RouteGet(a.AsSlice())
	if err != nil {
		return fmt.Errorf("no route: %w", err)
	}
	for _, r := range routes {
		if r.Type != unix.RTN_UNICAST {
			return errors.New("an address of this machine, or of all in its network")
		}
	}
	return nil
}

// refuseKind judges an address by itself.
func refuseKind(a netip.Addr) error {
	if a.Is6() && slices.ContainsFunc(embedded, func(p netip.Prefix) bool { return p.Contains(a) }) {
		b := a.As16()
		return refuseKind(netip.AddrFrom4([4]byte(b[12:])))
	}
	switch {
	case a.IsUnspecified(), a.IsLoopback(), a.Is4() && a.As4()[0] == 0:
		return errors.New("the loopback of this machine")
	case a.IsLinkLocalUnicast():
		return errors.New("a link-local address")
	case a.IsMulticast(), a.Is4() && a.As4()[0] >= 240:
		return errors.New("not the address of one machine")
	case slices.Contains(metadata, a):
		return errors.New("the metadata service of a cloud")
	}
	return nil
}

package usernet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// maxPacket in bytes is that of a packet with all that may be before it.
const maxPacket = header.EthernetMinimumSize + 64<<10

// wire is where the packets of a step's interface come out.
type wire struct {
	file *os.File
	// frame is what stands before each packet that goes in, and is as long as what
	// stands before those that come out. Its last two bytes are the protocol.
	frame []byte
}

// read reads one packet into a buffer.
func (w *wire) read(b []byte) ([]byte, error) {
	n, err := w.file.Read(b)
	return b[min(len(w.frame), n):n], err
}

// write writes one packet.
func (w *wire) write(packet []byte) error {
	if len(w.frame) > 0 {
		protocol := header.IPv4ProtocolNumber
		if header.IPVersion(packet) == header.IPv6Version {
			protocol = header.IPv6ProtocolNumber
		}
		b := make([]byte, 0, len(w.frame)+len(packet))
		b = append(b, w.frame[:len(w.frame)-2]...)
		packet = append(binary.BigEndian.AppendUint16(b, uint16(protocol)), packet...)
	}
	_, err := w.file.Write(packet)
	return err
}

// openTUN makes the interface of the thread's namespace with the kernel's device
// for it.
func openTUN(device string) (*wire, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(interfaceName)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &wire{file: os.NewFile(uintptr(fd), device)}, nil
}

// makePair makes the interface as one of a pair. The kernel may wait up to a second
// before it lets IPv6 through. The other one is in a namespace
// that nothing else is in, and all that arrives there is read from a socket, which
// also keeps that namespace. The thread is in ns, before and after.
func makePair(ns *os.File) (_ *wire, err error) {
	far, err := unshareNetwork()
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, far.Close(), unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET))
	}()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "far0"}, PeerName: interfaceName, PeerNamespace: netlink.NsFd(ns.Fd())}
	if err := h.LinkAdd(pair); err != nil {
		return nil, err
	}
	link, err := h.LinkByName("far0")
	if err != nil {
		return nil, err
	}
	_ = h.LinkSetIP6AddrGenMode(link, addressesByHand)
	if err := errors.Join(h.LinkSetMTU(link, mtu), h.LinkSetUp(link)); err != nil {
		return nil, err
	}
	near, err := nearEnd(ns)
	if err != nil {
		return nil, err
	}
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in the network's order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("a socket for packets: %w", err)
	}
	// More than the system's maximum needs root.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer)
	// The kernel opens the queue of an interface some time after its link is there, and
	// drops what comes before.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return nil, errors.Join(fmt.Errorf("a socket for packets: %w", err), unix.Close(fd))
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all & 0xffff, Ifindex: link.Attrs().Index}); err != nil {
		return nil, errors.Join(fmt.Errorf("a socket for packets: %w", err), unix.Close(fd))
	}
	frame := append(append(append([]byte{}, near...), link.Attrs().HardwareAddr...), 0, 0)
	return &wire{file: os.NewFile(uintptr(fd), "packets"), frame: frame}, nil
}

// socketBuffer in bytes is for the packets that wait.
const socketBuffer = 4 << 20

// nearEnd returns the address of the step's end of the pair, from which packets
// come out one by one: the socket would get several in one.
func nearEnd(ns *os.File) ([]byte, error) {
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	link, err := h.LinkByName(interfaceName)
	if err != nil {
		return nil, err
	}
	return link.Attrs().HardwareAddr, h.LinkSetGSOMaxSegs(link, 1)
}

package usernet

import (
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// link joins the interface of a step and the stack. The stack's own for
// descriptors leaves one open at its end.
type link struct {
	*channel.Endpoint
	wire *wire
}

func newLink(w *wire) *link {
	l := &link{Endpoint: channel.New(0, mtu, ""), wire: w}
	// The packets come from this machine's kernel, which has just made them.
	l.LinkEPCapabilities |= stack.CapabilityRXChecksumOffload
	return l
}

// WritePackets implements stack.LinkEndpoint.
func (l *link) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, p := range packets.AsSlice() {
		view := p.ToView()
		err := l.wire.write(view.AsSlice())
		view.Release()
		if err != nil {
			return n, &tcpip.ErrClosedForSend{} // the step has ended
		}
		n++
	}
	return n, nil
}

// packets are buffers for one packet each.
var packets = sync.Pool{New: func() any { b := make([]byte, maxPacket); return &b }}

// read hands the packets of the step to the stack until the interface is closed.
func (l *link) read() {
	b := packets.Get().(*[]byte)
	defer packets.Put(b)
	for {
		packet, err := l.wire.read(*b)
		if err != nil {
			return
		}
		protocol, ok := protocolOf(packet)
		if !ok {
			continue
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
		l.InjectInbound(protocol, p)
		p.DecRef()
	}
}

// protocolOf tells of which version of IP a packet is, if it is one that is passed
// on. An echo is not: the stack would answer it for every machine there is.
func protocolOf(packet []byte) (tcpip.NetworkProtocolNumber, bool) {
	protocol, next := header.IPv4ProtocolNumber, tcpip.TransportProtocolNumber(0)
	switch {
	case header.IPVersion(packet) == header.IPv4Version && len(packet) >= header.IPv4MinimumSize:
		next = header.IPv4(packet).TransportProtocol()
	case header.IPVersion(packet) == header.IPv6Version && len(packet) >= header.IPv6MinimumSize:
		protocol, next = header.IPv6ProtocolNumber, header.IPv6(packet).TransportProtocol()
	default:
		return 0, false
	}
	return protocol, next == header.TCPProtocolNumber || next == header.UDPProtocolNumber ||
		protocol == header.IPv6ProtocolNumber && next == tcpip.TransportProtocolNumber(header.IPv6FragmentHeader)
}

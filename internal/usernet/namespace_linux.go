package usernet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/oci"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// Bounds of one step, which shares memory and descriptors with all others. A
// browser or a package manager has some dozens of connections.
const (
	// maxRelays is how many connections a step may have at a time.
	maxRelays = 512
	// maxStarting is how many of them may be in the making.
	maxStarting = 128
	// maxBuffer in bytes is what a connection may hold in each direction.
	maxBuffer = 1 << 20
	// maxNotes is how many refused connections are written to the log.
	maxNotes = 20
)

// nic is the number of the stack's one interface.
const nic = tcpip.NICID(1)

// namespace is the network of one step.
type namespace struct {
	ns        *os.File
	link      *link
	stack     *stack.Stack
	resolvers string

	ctx    context.Context
	cancel context.CancelFunc
	reader sync.WaitGroup
	relays sync.WaitGroup

	mu     sync.Mutex
	closed bool
	active int
	notes  int
}

// newNamespace starts a stack on the interface of a namespace. It takes both.
func newNamespace(ns *os.File, w *wire, resolvers string) (_ *namespace, err error) {
	n := &namespace{
		ns: ns, link: newLink(w), resolvers: resolvers,
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
		}),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if err := n.configure(); err != nil {
		return nil, fmt.Errorf("the network of the step: %s", err)
	}
	n.reader.Go(n.link.read)
	return n, nil
}

func (n *namespace) configure() tcpip.Error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: maxBuffer / 4, Max: maxBuffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: maxBuffer / 4, Max: maxBuffer}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &receive, &send} {
		if err := n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return err
		}
	}
	if err := n.stack.CreateNIC(nic, n.link); err != nil {
		return err
	}
	// The stack stands for all machines there are.
	if err := n.stack.SetPromiscuousMode(nic, true); err != nil {
		return err
	}
	if err := n.stack.SetSpoofing(nic, true); err != nil {
		return err
	}
	n.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nic},
		{Destination: header.IPv6EmptySubnet, NIC: nic},
	})
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(n.stack, 0, maxStarting, n.forwardTCP).HandlePacket)
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(n.stack, n.forwardUDP).HandlePacket)
	return nil
}

// Set implements network.Namespace: the runtime finds the namespace by this
// process's own descriptor, so that it needs no mount and no name.
func (n *namespace) Set(s *specs.Spec) error {
	return oci.WithLinuxNamespace(specs.LinuxNamespace{
		Type: specs.NetworkNamespace, Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.ns.Fd()),
	})(nil, nil, nil, s)
}

// Sample implements network.Namespace.
func (n *namespace) Sample() (*resourcestypes.NetworkSample, error) { return nil, nil }

// Close implements network.Namespace. It ends all connections, and waits until
// nothing of the network is left. It may be called more than once.
func (n *namespace) Close() error {
	n.mu.Lock()
	closed := n.closed
	n.closed = true
	n.mu.Unlock()
	if closed {
		return nil
	}
	n.cancel()
	err := n.link.wire.file.Close()
	n.reader.Wait()
	n.abort()
	n.stack.Destroy()
	return errors.Join(err, n.ns.Close())
}

// abort ends the connections of the stack until none is left: one may be made while
// the others end, and would wait for the step's answer.
func (n *namespace) abort() {
	done := make(chan struct{})
	go func() {
		n.relays.Wait()
		close(done)
	}()
	for {
		for _, e := range n.stack.RegisteredEndpoints() {
			e.Abort()
		}
		select {
		case <-done:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// begin counts a connection in, if the step may have another one.
func (n *namespace) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.active >= maxRelays {
		return false
	}
	n.active++
	n.relays.Add(1)
	return true
}

// end counts a connection out.
func (n *namespace) end() {
	n.mu.Lock()
	n.active--
	n.mu.Unlock()
	n.relays.Done()
}

// allowed tells whether the step may reach an address. The log says what was refused.
func (n *namespace) allowed(to netip.AddrPort) bool {
	err := refuse(to.Addr())
	if err == nil {
		return true
	}
	n.mu.Lock()
	n.notes++
	tell := n.notes <= maxNotes
	n.mu.Unlock()
	if tell {
		logrus.Infof("a step may not connect to %s: %v", to, err)
	}
	return false
}

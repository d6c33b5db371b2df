package usernet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// dialTimeout is how long a connection may take to be made: a kernel gives up
	// after two minutes, and what waits for one seldom waits as long.
	dialTimeout = time.Minute
	// idleUDP is how long a peer of UDP is remembered, as in routers.
	idleUDP = time.Minute
	// pieceSize in bytes is that of the buffers that connections are copied with.
	pieceSize = 128 << 10
)

// pieces are buffers for copying.
var pieces = sync.Pool{New: func() any { b := make([]byte, pieceSize); return &b }}

// destination is whom the step wants to reach: to the stack, that is its own end.
func destination(id stack.TransportEndpointID) netip.AddrPort {
	a, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	return netip.AddrPortFrom(a, id.LocalPort)
}

// forwardTCP answers a step that wants to connect. The forwarder gives each call a
// goroutine of its own.
func (n *namespace) forwardTCP(r *tcp.ForwarderRequest) {
	if !n.begin() {
		r.Complete(true)
		return
	}
	defer n.end()
	out, err := n.dial("tcp", destination(r.ID()))
	if err != nil {
		r.Complete(true)
		return
	}
	defer out.Close()
	var queue waiter.Queue
	end, problem := r.CreateEndpoint(&queue)
	r.Complete(problem != nil)
	if problem != nil {
		return
	}
	join(n.ctx, gonet.NewTCPConn(&queue, end), out.(*net.TCPConn))
}

// dial connects to what a step wants to reach.
func (n *namespace) dial(network string, to netip.AddrPort) (net.Conn, error) {
	if to.Addr() == serverAddress {
		if to.Port() != dnsPort || network != "tcp" {
			return nil, fmt.Errorf("%s has names only", to.Addr())
		}
		return n.dialResolver(n.ctx, network)
	}
	if !n.allowed(to) {
		return nil, fmt.Errorf("a step may not connect to %s", to)
	}
	d := &net.Dialer{Timeout: dialTimeout}
	return d.DialContext(n.ctx, network, to.String())
}

// stream is one end of a connection, whose directions end one by one.
type stream interface {
	net.Conn
	CloseWrite() error
}

// join copies between two ends until both directions have ended, one has failed or
// ctx is done.
func join(ctx context.Context, a, b stream) {
	closeBoth := func() { _, _ = a.Close(), b.Close() }
	defer context.AfterFunc(ctx, closeBoth)()
	defer closeBoth()
	var both sync.WaitGroup
	for _, ends := range [2][2]stream{{a, b}, {b, a}} {
		both.Go(func() {
			if err := pour(ends[0], ends[1]); err != nil || ends[0].CloseWrite() != nil {
				closeBoth()
			}
		})
	}
	both.Wait()
}

// pour copies all that can be read.
func pour(to io.Writer, from io.Reader) error {
	b := pieces.Get().(*[]byte)
	defer pieces.Put(b)
	for {
		k, err := from.Read(*b)
		if k > 0 {
			if _, err := to.Write((*b)[:k]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// forwardUDP answers the first packet to a peer; where it gives false the step is
// told that nobody is there.
func (n *namespace) forwardUDP(r *udp.ForwarderRequest) bool {
	to := destination(r.ID())
	names := to.Addr() == serverAddress && to.Port() == dnsPort
	if !names && (to.Addr() == serverAddress || !n.allowed(to)) || !n.begin() {
		return false
	}
	var queue waiter.Queue
	end, problem := r.CreateEndpoint(&queue)
	if problem != nil {
		n.end()
		_, there := problem.(*tcpip.ErrPortInUse)
		return there
	}
	in := gonet.NewUDPConn(&queue, end)
	go func() {
		defer n.end()
		defer in.Close()
		defer context.AfterFunc(n.ctx, func() { _ = in.Close() })()
		if names {
			n.answer(in)
			return
		}
		if out, err := n.dial("udp", to); err == nil {
			n.exchange(in, out)
		}
	}()
	return true
}

// exchange passes packets in both directions until there are none for a while.
func (n *namespace) exchange(in, out net.Conn) {
	defer out.Close()
	defer context.AfterFunc(n.ctx, func() { _ = out.Close() })()
	var both sync.WaitGroup
	for _, ends := range [2][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			b := pieces.Get().(*[]byte)
			defer pieces.Put(b)
			for n.ctx.Err() == nil {
				// What goes either way keeps the peer.
				_ = ends[1].SetReadDeadline(time.Now().Add(idleUDP))
				k, err := ends[1].Read(*b)
				if err != nil {
					break
				}
				if _, err := ends[0].Write((*b)[:k]); err != nil {
					break
				}
				_ = ends[0].SetReadDeadline(time.Now().Add(idleUDP))
			}
			_, _ = in.Close(), out.Close()
		})
	}
	both.Wait()
}

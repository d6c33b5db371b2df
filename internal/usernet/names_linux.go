package usernet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/moby/buildkit/util/resolvconf"
)

const (
	// dnsPort is the port of name servers.
	dnsPort = 53
	// dnsTimeout is how long one name server may take before the next is asked; a
	// program waits five seconds for the answer.
	dnsTimeout = 2 * time.Second
	// dnsIdle is how long a step that has asked may ask more on the same port.
	dnsIdle = 10 * time.Second
)

// servers are the name servers of the machine, as they are now.
func (n *namespace) servers() ([]netip.AddrPort, error) {
	conf, err := resolvconf.Load(n.resolvers)
	if err != nil {
		return nil, fmt.Errorf("name servers of this machine: %w", err)
	}
	var servers []netip.AddrPort
	for _, a := range conf.NameServers() {
		servers = append(servers, netip.AddrPortFrom(a, dnsPort))
	}
	if len(servers) == 0 { // what programs take then
		servers = append(servers, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort))
	}
	return servers, nil
}

// dialResolver connects to the first name server that can be reached. They may be
// what no step reaches otherwise, and listen on loopback.
func (n *namespace) dialResolver(ctx context.Context, network string) (net.Conn, error) {
	servers, err := n.servers()
	for _, s := range servers {
		d := &net.Dialer{Timeout: dnsTimeout}
		conn, derr := d.DialContext(ctx, network, s.String())
		if derr == nil {
			return conn, nil
		}
		err = errors.Join(err, derr)
	}
	return nil, err
}

// answer answers the questions that come from one port of the step.
func (n *namespace) answer(in net.Conn) {
	b := pieces.Get().(*[]byte)
	defer pieces.Put(b)
	for n.ctx.Err() == nil {
		_ = in.SetReadDeadline(time.Now().Add(dnsIdle))
		k, err := in.Read(*b)
		if err != nil {
			return
		}
		question := append([]byte(nil), (*b)[:k]...)
		if !n.begin() {
			continue
		}
		go func() {
			defer n.end()
			if reply := n.ask(question); reply != nil {
				_, _ = in.Write(reply) // nobody waits any more
			}
		}()
	}
}

// ask hands a question to the machine's name servers, one after the other.
func (n *namespace) ask(question []byte) []byte {
	servers, err := n.servers()
	if err != nil || len(question) < 2 {
		return nil
	}
	for _, s := range servers {
		if reply := n.askOne(s, question); reply != nil {
			return reply
		}
	}
	return nil
}

func (n *namespace) askOne(server netip.AddrPort, question []byte) []byte {
	d := &net.Dialer{Timeout: dnsTimeout}
	conn, err := d.DialContext(n.ctx, "udp", server.String())
	if err != nil {
		return nil
	}
	defer conn.Close()
	defer context.AfterFunc(n.ctx, func() { _ = conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(dnsTimeout))
	if _, err := conn.Write(question); err != nil {
		return nil
	}
	reply := make([]byte, 64<<10)
	for {
		k, err := conn.Read(reply)
		if err != nil {
			return nil
		}
		if k >= 2 && [2]byte(reply) == [2]byte(question) {
			return reply[:k]
		}
	}
}

package usernet

import (
	"context"

	"github.com/moby/buildkit/util/network"
	"github.com/sirupsen/logrus"
)

// Provider makes the networks of steps. It is safe for concurrent use.
type Provider struct {
	// device is the kernel's device that makes interfaces.
	device string
	// resolvers is the file that names the machine's name servers.
	resolvers string
}

// New returns a provider for this machine.
func New() *Provider {
	return &Provider{device: tunDevice, resolvers: "/etc/resolv.conf"}
}

// tunDevice makes interfaces, where it is there and may be opened.
const tunDevice = "/dev/net/tun"

var _ network.Provider = (*Provider)(nil)

// New implements network.Provider: it makes the network of one step.
func (p *Provider) New(context.Context, string, network.NamespaceOptions) (network.Namespace, error) {
	ns, w, err := makeNamespace(p.device)
	if err != nil {
		return nil, err
	}
	n, err := newNamespace(ns, w, p.resolvers)
	if err != nil {
		logrus.WithError(err).Error("the network of a step")
		return nil, err
	}
	return n, nil
}

// Close implements network.Provider. Each namespace is closed by its step.
func (p *Provider) Close() error { return nil }

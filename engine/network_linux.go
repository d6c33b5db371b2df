package engine

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/runcexecutor"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/worker/base"
	wlabel "github.com/moby/buildkit/worker/label"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/osbuildkit/osbuildkit/internal/usernet"
)

// resolverFile names the machine's name servers, and those of a step.
const resolverFile = "/etc/resolv.conf"

// giveNetworks gives a worker the networks of steps, and an executor that knows no
// others. Most steps ask for none. Those that ask for one get their own; that of the
// machine is there only if it was allowed.
func (d *daemon) giveNetworks(opt *base.WorkerOpt, rootless bool, mode oci.ProcessMode, allow []string) error {
	for _, p := range opt.NetworkProviders {
		if err := p.Close(); err != nil {
			return err
		}
	}
	opt.NetworkProviders = map[pb.NetMode]network.Provider{
		pb.NetMode_UNSET: usernet.New(),
		pb.NetMode_NONE:  network.NewNoneProvider(),
	}
	if slices.Contains(allow, AllowHostNetwork) {
		opt.NetworkProviders[pb.NetMode_HOST] = hostNetwork{network.NewHostProvider()}
	}
	// BuildKit's proxy for steps connects from the machine's network.
	if opt.ProxyProvider != nil {
		if err := opt.ProxyProvider.Close(); err != nil {
			return err
		}
		opt.ProxyProvider = nil
	}
	opt.Labels[wlabel.Network] = "user"
	var err error
	opt.Executor, err = runcexecutor.New(runcexecutor.Opt{
		Root:              filepath.Join(opt.Root, "executor"),
		CommandCandidates: []string{d.runtime.path},
		Rootless:          rootless,
		ProcessMode:       mode,
		ResourceMonitor:   opt.ResourceMonitor,
		DNS:               &oci.DNSConfig{Nameservers: []string{usernet.Nameserver}},
	}, opt.NetworkProviders)
	return err
}

// hostNetwork gives steps the network of the machine. The executor has one name
// server for all steps, which that network does not have.
type hostNetwork struct{ network.Provider }

// New implements network.Provider.
func (h hostNetwork) New(ctx context.Context, hostname string, o network.NamespaceOptions) (network.Namespace, error) {
	ns, err := h.Provider.New(ctx, hostname, o)
	return hostNamespace{ns}, err
}

type hostNamespace struct{ network.Namespace }

// Set implements network.Namespace.
func (h hostNamespace) Set(s *specs.Spec) error {
	if file, err := filepath.EvalSymlinks(resolverFile); err == nil {
		for i := range s.Mounts {
			if s.Mounts[i].Destination == resolverFile {
				s.Mounts[i].Source = file
			}
		}
	}
	return h.Namespace.Set(s)
}

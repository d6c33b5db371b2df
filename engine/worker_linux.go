package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/cache/remotecache/gha"
	"github.com/moby/buildkit/cache/remotecache/inline"
	"github.com/moby/buildkit/cache/remotecache/local"
	"github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	"github.com/moby/sys/userns"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// newController builds the daemon's parts over the state in d.root and joins
// them, as BuildKit's own main package does, which cannot be imported.
func (d *daemon) newController(o daemonOptions) (err error) {
	// What is open must be closed again when a later part fails: bolt holds its
	// own lock on the files, and the next Open would wait for it.
	var opened []func() error
	defer func() {
		if err != nil {
			for _, c := range opened {
				err = errors.Join(err, c())
			}
		}
	}()
	sessions, err := session.NewManager()
	if err != nil {
		return err
	}
	hosts := resolver.NewRegistryConfig(nil)
	w, err := d.newWorker(o)
	if err != nil {
		return err
	}
	w.RegistryHosts = hosts
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return err
	}
	opened = append(opened, workers.Close)
	steps, err := bboltcachestorage.NewStore(filepath.Join(d.root, "cache.db"))
	if err != nil {
		return err
	}
	opened = append(opened, steps.Close)
	history, err := boltutil.SafeOpen(filepath.Join(d.root, "history.db"), 0o600,
		&bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return err
	}
	opened = append(opened, history.Close)
	frontends, err := newFrontends(workers)
	if err != nil {
		return err
	}
	d.keys = solver.NewCacheManager(context.Background(), "local", steps, worker.NewCacheResultStorage(workers))
	stopped := make(chan struct{})
	d.controller, err = control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends:        frontends,
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"registry": registry.ResolveCacheExporterFunc(sessions, hosts),
			"local":    local.ResolveCacheExporterFunc(sessions),
			"inline":   inline.ResolveCacheExporterFunc(),
			"gha":      gha.ResolveCacheExporterFunc(nil, nil),
		},
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"registry": registry.ResolveCacheImporterFunc(sessions, w.ContentStore(), hosts),
			"local":    local.ResolveCacheImporterFunc(sessions),
			"gha":      gha.ResolveCacheImporterFunc(nil, nil),
		},
		CacheManager:   d.keys,
		HistoryDB:      history,
		CacheStore:     steps,
		LeaseManager:   w.LeaseManager(),
		ContentStore:   w.ContentStore(),
		GarbageCollect: w.GarbageCollect,
		GracefulStop:   stopped,
		Entitlements:   o.Allow,
	})
	if err != nil {
		return err
	}
	d.undo = append(d.undo, func() error { close(stopped); return nil })
	return nil
}

// newFrontends offers BuildKit's own two, which buildx needs when it builds on a
// served engine.
func newFrontends(workers *worker.Controller) (map[string]frontend.Frontend, error) {
	gw, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	return map[string]frontend.Frontend{
		"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
		"gateway.v0":    gw,
	}, nil
}

// newWorker makes the worker that keeps snapshots and runs steps with runc.
func (d *daemon) newWorker(o daemonOptions) (*base.Worker, error) {
	rootless := userns.RunningInUserNS()
	mode := oci.ProcessSandbox
	if SharesProcesses() {
		mode = oci.NoProcessSandbox
		logrus.Warn("parts of /proc are covered: steps share the process namespace of the engine")
	}
	factory, err := newSnapshotter(d.root, o)
	if err != nil {
		return nil, err
	}
	// The worker does not close its snapshotter, whose database would then stay
	// locked for as long as this process lives.
	create := factory.New
	factory.New = func(dir string) (snapshots.Snapshotter, error) {
		if err := removeOrphans(context.Background(), dir); err != nil {
			return nil, fmt.Errorf("removing unfinished snapshots: %w", err)
		}
		s, err := create(dir)
		if err == nil {
			d.undo = append(d.undo, s.Close)
		}
		return s, err
	}
	opt, err := runc.NewWorkerOpt(
		d.root, factory, rootless, mode,
		nil,                                 // labels
		nil,                                 // identity mapping
		netproviders.Opt{Mode: "host"}, nil, // see giveNetworks
		d.runtime.path,
		"", false, // no AppArmor profile, no SELinux labels
		nil, // no limit of parallel steps
		"",  // no tracing: it would put volatile variables into every step
		"",  // cgroup parent
		nil, // no CDI devices
	)
	if err != nil {
		return nil, err
	}
	if err := d.giveNetworks(&opt, rootless, mode, o.Allow); err != nil {
		return nil, err
	}
	if err := abortIngests(context.Background(), opt.ContentStore); err != nil {
		return nil, fmt.Errorf("removing unfinished downloads: %w", err)
	}
	if o.Image != "" {
		opt.GCPolicy = gcPolicy(diskOf(d.root), o.Limit)
	}
	opt.BuildkitVersion = client.BuildkitVersion{Package: version.Package, Version: buildkitVersion}
	opt.Platforms = []ocispecs.Platform{platforms.Normalize(platforms.DefaultSpec())}
	if o.Emulation {
		opt.Platforms = archutil.SupportedPlatforms(false)
	}
	d.steps = newStepTracker(opt.Executor, o.ulimits)
	opt.Executor = d.steps
	d.worker, err = base.NewWorker(context.Background(), opt)
	return d.worker, err
}

// newSnapshotter chooses overlayfs, and full copies where that does not work.
func newSnapshotter(root string, o daemonOptions) (runc.SnapshotterFactory, error) {
	overlayErr := error(nil)
	if o.Snapshotter == "" {
		overlayErr = overlayWorks(root)
	}
	switch {
	case o.Snapshotter == "overlayfs", o.Snapshotter == "" && overlayErr == nil:
		return runc.SnapshotterFactory{Name: "overlayfs", New: func(dir string) (snapshots.Snapshotter, error) {
			return overlay.NewSnapshotter(dir, overlay.AsynchronousRemove)
		}}, nil
	case o.Snapshotter == "native", o.Snapshotter == "":
		if overlayErr != nil {
			logrus.WithError(overlayErr).Warn("overlayfs does not work here, every step copies its whole tree")
			o.notify(fmt.Sprintf("overlayfs does not work in %s: every step copies its whole tree, which is slow; put the store on ext4 or xfs", root))
		}
		return runc.SnapshotterFactory{Name: "native", New: native.NewSnapshotter}, nil
	}
	return runc.SnapshotterFactory{}, fmt.Errorf("unknown snapshotter %q, known are overlayfs and native", o.Snapshotter)
}

// overlayWorks tries an overlay in root. That it works is noted there, for
// this kernel and disk: the trial ends with an unmount, which waits until the
// disk has taken all that anyone has written to it.
func overlayWorks(root string) error {
	var st unix.Stat_t
	var name unix.Utsname
	if err := errors.Join(unix.Stat(root, &st), unix.Uname(&name)); err != nil {
		return err
	}
	note := filepath.Join(root, "overlay-works")
	here := fmt.Sprintf("%s %d\n", unix.ByteSliceToString(name.Release[:]), st.Dev)
	if data, err := private.ReadFile(note, maxNote); err == nil && string(data) == here {
		return nil
	}
	if err := overlayutils.Supported(root); err != nil {
		return err
	}
	return private.WriteFile(note, []byte(here))
}

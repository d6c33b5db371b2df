package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/entitlements"
)

// DefaultStore is the directory of the store when Options names none, relative
// to the working directory.
const DefaultStore = ".osbuild"

// DefaultLimit in bytes is what the embedded engine's cache may use when Options
// name no limit: room for the steps of some images. Where the disk is smaller
// than twice of it, half of the disk is the limit.
const DefaultLimit = 20_000_000_000

// DefaultWait is how long Open waits for a store that another process holds
// when Options.Wait is zero.
const DefaultWait = 10 * time.Minute

// EmbeddedName is the value of Options.Builder that asks for the embedded
// engine even where BUILDKIT_HOST is set.
const EmbeddedName = "embedded"

// AllowHostNetwork lets steps ask for the network of the machine itself, its
// loopback and all of its services included. BuildKit calls it an entitlement.
const AllowHostNetwork = string(entitlements.EntitlementNetworkHost)

// Options says where builds run, and how. The zero value is the embedded engine
// (or the daemon of BUILDKIT_HOST) with its store in DefaultStore.
type Options struct {
	// Builder chooses the provider. Empty is BUILDKIT_HOST if that is set, else
	// the embedded engine, or buildx's current builder where HasEmbedded is false; EmbeddedName is the embedded engine; a value with
	// "://" is the address of a daemon; anything else names a buildx builder.
	Builder string
	// Store is the directory of the store; the embedded engine keeps its state
	// in Store/buildkit. Empty is DefaultStore. The other providers ignore it.
	Store string
	// Wait bounds the time spent waiting for a store that another process
	// holds. Zero is DefaultWait, negative does not wait at all.
	Wait time.Duration
	// Notify, if set, is told in one line what the user should know: who holds
	// the store, that only a slow snapshotter works here, or that the embedded
	// engine's process was killed. It may be called from any goroutine, but never
	// from two at a time.
	Notify func(string)
	// TLS holds the certificates for a tcp:// address.
	TLS TLS
	// Snapshotter forces the embedded engine's snapshotter, "overlayfs" or
	// "native". Empty tries overlayfs and falls back to native.
	Snapshotter string
	// Emulation makes the embedded engine find out which foreign architectures
	// the kernel runs through binfmt_misc, which takes a while. Without it only
	// the machine's own is built for.
	Emulation bool
	// Limit is the disk space in bytes that the embedded engine's cache may use;
	// what was not used for the longest time goes first. Zero is DefaultLimit, and
	// a negative one is no limit.
	Limit int64
	// Allow lists what builds in the embedded engine may ask for: AllowHostNetwork,
	// or nothing.
	Allow []string
	// Image names what is built, for Usage. Empty builds nothing, and nothing is
	// removed to keep a limit.
	Image string
}

// TLS names the files, in PEM form, for a daemon that asks for certificates.
type TLS struct {
	// CACert verifies the daemon; empty means the system's certificates once
	// one of the other fields is set.
	CACert string
	// Cert and Key identify this client; both or none.
	Cert, Key string
	// ServerName replaces the host name of the address in the verification.
	ServerName string
}

// Kind says which provider an engine comes from.
type Kind int

const (
	// Embedded is the BuildKit daemon that belongs to this process.
	Embedded Kind = iota
	// Address is a daemon reached at an address.
	Address
	// Buildx is a builder of docker buildx, known by its name.
	Buildx
)

// String returns the kind as one lower-case word.
func (k Kind) String() string {
	switch k {
	case Embedded:
		return "embedded"
	case Address:
		return "address"
	case Buildx:
		return "buildx"
	}
	return fmt.Sprintf("kind(%d)", int(k))
}

// Engine is a place where builds run. It is safe for concurrent use.
type Engine struct {
	kind    Kind
	target  string
	client  *client.Client
	process *process // of the embedded daemon, else nil

	closeOnce sync.Once
	closeErr  error
}

// Open gives the engine that o asks for, ready to build: a daemon that is
// reached by address or name has answered and is new enough. The context bounds
// Open alone, not the life of the engine. The caller must Close the engine.
func Open(ctx context.Context, o Options) (*Engine, error) {
	ch, err := choose(o.Builder, os.Getenv("BUILDKIT_HOST"), HasEmbedded)
	if err != nil {
		return nil, err
	}
	if o.Store == "" {
		o.Store = DefaultStore
	}
	e := &Engine{kind: ch.kind, target: ch.target}
	switch ch.kind {
	case Address:
		e.client, err = openAddress(ctx, ch, o)
	case Buildx:
		e.client, err = openBuildx(ctx, ch.target)
	default:
		e.process, err = startProcess(ctx, o)
		if err == nil {
			e.client, err = e.process.dial(ctx)
		}
	}
	if err == nil && ch.kind != Embedded {
		err = CheckDaemon(ctx, e.client)
		if err != nil {
			err = fmt.Errorf("%s: %w", ch, err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Client returns the BuildKit client of the engine. It is closed by Close.
func (e *Engine) Client() *client.Client { return e.client }

// Kind says which provider the engine comes from.
func (e *Engine) Kind() Kind { return e.kind }

// Target returns the address or the name of the builder, or the directory of
// the embedded engine's state.
func (e *Engine) Target() string {
	if e.process != nil {
		return e.process.root
	}
	return e.target
}

// Serve offers the embedded engine to other programs as well (buildx, buildctl)
// on a listener of the given network ("unix", or "tcp" on a loopback address)
// until ctx is done, and returns nil then. A unix socket is made for this user
// alone and removed at the end. A daemon has no passwords, so a tcp address
// that is not loopback is refused.
func (e *Engine) Serve(ctx context.Context, network, addr string) error {
	if e.process == nil {
		return fmt.Errorf("serving %s: only the embedded engine can be served, this one is %s", addr, e.kind)
	}
	return e.process.serve(ctx, network, addr)
}

// Close ends the engine. For the embedded one this cancels what still runs,
// waits until its containers and mounts are gone, and frees the store. It may
// be called more than once.
func (e *Engine) Close() error {
	if e == nil {
		return nil
	}
	e.closeOnce.Do(func() {
		var errs []error
		if e.client != nil {
			errs = append(errs, e.client.Close())
		}
		if e.process != nil {
			errs = append(errs, e.process.close())
		}
		e.closeErr = errors.Join(errs...)
	})
	return e.closeErr
}

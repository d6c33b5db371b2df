package engine

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// schemes are the address schemes a BuildKit client can dial here, in the order
// an error lists them. All but the first two start a helper program.
var schemes = []string{
	"tcp", "unix", "ssh", "docker-container", "podman-container", "nerdctl-container", "kube-pod",
}

// builderName is what buildx allows as the name of a builder.
var builderName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.\-_+]*$`)

// hostPort is something that was meant as a tcp address.
var hostPort = regexp.MustCompile(`^[a-zA-Z0-9.\-\[\]:]*:[0-9]{1,5}$`)

// choice is one provider and what it shall reach.
type choice struct {
	kind   Kind
	target string // the address, or the name of the builder; empty is buildx's current one
	origin string // where the user said so: "--builder" or "BUILDKIT_HOST"
}

func (c choice) String() string {
	switch c.kind {
	case Address:
		return "BuildKit at " + c.target
	case Buildx:
		return builderText(c.target)
	default:
		return "the embedded engine"
	}
}

// builderText names a builder of buildx.
func builderText(name string) string {
	if name == "" {
		return "buildx's current builder"
	}
	return "buildx builder " + name
}

// errNotEmbedded says why a system has no embedded engine, and what to do.
var errNotEmbedded = errors.New("the embedded engine needs Linux: give an address or the name of a buildx builder, or no --builder for buildx's current one")

// choose reads the user's wish, on a system that can have an embedded engine or
// cannot. A value that cannot be meant (a path, a bare host:port, an unknown
// scheme) is an error that shows the right form.
func choose(builder, host string, embedded bool) (choice, error) {
	value, origin := builder, "--builder"
	if value == "" {
		value, origin = host, "BUILDKIT_HOST"
	}
	switch {
	case builder == EmbeddedName && !embedded:
		return choice{}, fmt.Errorf("--builder %s: %w", builder, errNotEmbedded)
	case value == "" && !embedded:
		return choice{kind: Buildx, origin: "--builder"}, nil
	case value == "", builder == EmbeddedName:
		return choice{kind: Embedded}, nil
	case strings.Contains(value, "://"):
		if err := checkAddress(value); err != nil {
			return choice{}, fmt.Errorf("%s %q: %w", origin, value, err)
		}
		return choice{kind: Address, target: value, origin: origin}, nil
	case filepath.IsAbs(value):
		return choice{}, fmt.Errorf("%s %q: an address needs a scheme, write unix://%s", origin, value, value)
	case hostPort.MatchString(value):
		return choice{}, fmt.Errorf("%s %q: an address needs a scheme, write tcp://%s", origin, value, value)
	case origin == "BUILDKIT_HOST":
		return choice{}, fmt.Errorf("BUILDKIT_HOST %q: not an address such as tcp://host:1234 or unix:///path; unset it or use --builder", value)
	case !builderName.MatchString(value):
		return choice{}, fmt.Errorf("--builder %q: neither an address (scheme://…) nor the name of a buildx builder", value)
	}
	return choice{kind: Buildx, target: value, origin: origin}, nil
}

// checkAddress refuses an address that no dialer would understand.
func checkAddress(addr string) error {
	u, err := url.Parse(addr)
	if err != nil {
		return fmt.Errorf("not an address: %w", err)
	}
	if !slices.Contains(schemes, u.Scheme) {
		return fmt.Errorf("unknown scheme %q, known are %s", u.Scheme, strings.Join(schemes, ", "))
	}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !filepath.IsAbs(u.Path) {
			return fmt.Errorf("a socket needs an absolute path, as in unix:///run/buildkit/buildkitd.sock")
		}
	case "tcp":
		if u.Hostname() == "" || u.Port() == "" {
			return fmt.Errorf("a tcp address needs host and port, as in tcp://127.0.0.1:1234")
		}
	default:
		if u.Host == "" {
			return fmt.Errorf("nothing named after %s://", u.Scheme)
		}
	}
	return nil
}

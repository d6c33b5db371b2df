package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"
)

// The oldest BuildKit that can switch off the content cache of a mount
// (exec.mount.cache.content). Without that a later stage is served from a stale
// tree, so an older daemon is refused and not worked around.
const minMajor, minMinor = 0, 13

// errTooOld is the reason given for an old daemon, found by errors.Is in tests.
var errTooOld = errors.New("too old")

var releaseVersion = regexp.MustCompile(`^v?(\d{1,6})\.(\d{1,6})\.\d+`)

// CheckDaemon returns an error when the daemon behind c is too old to build OS
// trees correctly: BuildKit 0.13 is the first that offers the capability
// exec.mount.cache.content. The error is one sentence that says what to do. It
// asks for the version first, and for the capabilities only where the version
// says nothing.
func CheckDaemon(ctx context.Context, c *client.Client) error {
	info, err := c.Info(ctx)
	if isUnimplemented(err) {
		return tooOld("older than 0.11")
	}
	if err != nil {
		return fmt.Errorf("asking the daemon for its version: %s", plainError(err))
	}
	version := info.BuildkitVersion.Version
	switch checkVersion(version) {
	case versionGood:
		return nil
	case versionOld:
		return tooOld(version)
	}
	return checkCaps(ctx, c, version)
}

func tooOld(version string) error {
	return fmt.Errorf("the daemon's BuildKit (%s) is %w: osbuildkit needs %d.%d or newer (capability %s); update the daemon or choose another with --builder",
		version, errTooOld, minMajor, minMinor, pb.CapExecMountContentCache)
}

type versionState int

const (
	versionUnknown versionState = iota
	versionOld
	versionGood
)

// checkVersion judges a version such as v0.12.5+d3e6c13. A build that was not
// told its version says v0.0.0+unknown, which tells nothing.
func checkVersion(version string) versionState {
	m := releaseVersion.FindStringSubmatch(version)
	if m == nil {
		return versionUnknown
	}
	major, err1 := strconv.Atoi(m[1])
	minor, err2 := strconv.Atoi(m[2])
	switch {
	case err1 != nil || err2 != nil, major == 0 && minor == 0:
		return versionUnknown
	case major < minMajor, major == minMajor && minor < minMinor:
		return versionOld
	}
	return versionGood
}

// checkCaps asks the daemon for its capabilities, by a build that builds nothing.
func checkCaps(ctx context.Context, c *client.Client, version string) error {
	var capErr error
	_, err := c.Build(ctx, client.SolveOpt{FrontendAttrs: map[string]string{}, Internal: true}, "osbuildkit",
		func(_ context.Context, gw gateway.Client) (*gateway.Result, error) {
			caps := gw.BuildOpts().LLBCaps
			capErr = caps.Supports(pb.CapExecMountContentCache)
			return gateway.NewResult(), nil
		}, nil)
	if err != nil {
		return fmt.Errorf("asking the daemon for its capabilities: %w", err)
	}
	if capErr != nil {
		return tooOld(version)
	}
	return nil
}

func isUnimplemented(err error) bool {
	return err != nil && grpcerrors.Code(err) == codes.Unimplemented
}

package frontend

import (
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// architectures are those that a distribution has been built for.
var architectures = []string{"amd64", "arm64", "arm", "386", "loong64", "mips64le", "ppc64le", "riscv64", "s390x"}

// CheckPlatforms reports the platforms that no image can be for: the systems are
// Linux systems, of an architecture that exists.
func CheckPlatforms(list []ocispecs.Platform) error {
	var wrong []error
	for _, p := range list {
		p = platforms.Normalize(p)
		switch {
		case p.OS != "linux":
			wrong = append(wrong, fmt.Errorf("no image can be built for the platform %s: osbuildkit builds Linux systems; write linux/%s", platforms.Format(p), p.Architecture))
		case !slices.Contains(architectures, p.Architecture):
			wrong = append(wrong, fmt.Errorf("no image can be built for the platform %s: there is no architecture %q; %s", platforms.Format(p), p.Architecture, suggest(p.Architecture, architectures)))
		}
	}
	return errors.Join(wrong...)
}

package frontend

import (
	"fmt"

	"github.com/containerd/platforms"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// CheckPlatforms reports the platforms that no image can be for: the systems are
// Linux systems.
func CheckPlatforms(list []ocispecs.Platform) error {
	for _, p := range list {
		if p.OS != "linux" {
			return fmt.Errorf("no image can be built for the platform %s: osbuildkit builds Linux systems; write linux/%s", platforms.Format(p), p.Architecture)
		}
	}
	return nil
}

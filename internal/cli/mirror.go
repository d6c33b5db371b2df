package cli

import (
	"github.com/osbuildkit/osbuildkit/debian"
)

// aptDir is where a Debian client keeps its configuration.
const aptDir = "/etc/apt"

// clientMirrors returns where the mirrors that this machine's own apt uses have
// a suite, or nothing where there is no apt.
func clientMirrors(suite string) []string { return debian.MirrorsOfClient(aptDir, suite) }

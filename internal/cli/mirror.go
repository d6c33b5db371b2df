package cli

import (
	"github.com/osbuildkit/osbuildkit/debian"
)

// aptDir is where a Debian client keeps its configuration.
const aptDir = "/etc/apt"

// clientMirror returns the mirror that this machine's own apt uses for a
// suite, or "" where there is no apt.
func clientMirror(suite string) string {
	mirror, err := debian.ClientMirror(aptDir, suite)
	if err != nil {
		return ""
	}
	return mirror
}

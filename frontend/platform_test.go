package frontend

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// What is built does not depend on the system that the command line runs on.
func TestTargetPlatforms(t *testing.T) {
	t.Parallel()
	linux := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	arm := ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	mac := ocispecs.Platform{OS: "darwin", Architecture: "arm64"}
	windows := ocispecs.Platform{OS: "windows", Architecture: "amd64"}
	for name, c := range map[string]struct {
		asked            []ocispecs.Platform
		builder, process ocispecs.Platform
		want             []ocispecs.Platform
	}{
		"the same platform":      {nil, linux, linux, nil},
		"another machine":        {nil, arm, linux, []ocispecs.Platform{arm}},
		"a Mac":                  {nil, arm, mac, []ocispecs.Platform{arm}},
		"Windows":                {nil, linux, windows, []ocispecs.Platform{linux}},
		"asked for":              {[]ocispecs.Platform{arm}, linux, windows, []ocispecs.Platform{arm}},
		"several are asked for":  {[]ocispecs.Platform{arm, linux}, linux, mac, []ocispecs.Platform{arm, linux}},
		"asked for, on its own":  {[]ocispecs.Platform{linux}, linux, linux, []ocispecs.Platform{linux}},
		"variants are no matter": {nil, ocispecs.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, arm, nil},
	} {
		if diff := cmp.Diff(c.want, targetPlatforms(c.asked, c.builder, c.process)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

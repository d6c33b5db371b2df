package packages

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
)

// The examples of packages apt: in the form of Debian 13, Debian 12, the one before
// that, Ubuntu 24.04, and Ubuntu 22.04.
const (
	newExample = `## Debian distribution repository
##
## Types: Append deb-src to enable the fetching of source package.
##   contrib           - Free software that may require non-free software to run.
Types: deb
URIs: http://live.example.org/debian
Suites: trixie trixie-updates
Components: main contrib non-free non-free-firmware
Signed-By: /usr/share/keyrings/example.gpg

## Debian security updates. Aside from URIs and Suites,
## this should mirror your choices in the previous section.
Types: deb
URIs: http://live.example.org/debian-security
Suites: trixie-security
Components: main contrib non-free non-free-firmware
Signed-By: /usr/share/keyrings/example.gpg
`
	oldExample = `# See sources.list(5) manpage for more information
deb http://live.example.org/debian bookworm main contrib non-free
deb	http://live.example.org/debian bookworm-updates main contrib
deb [signed-by=/k] http://live.example.org/debian-security bookworm-security main contrib

# Uncomment if you want the apt-get source function to work
#deb-src http://live.example.org/debian bookworm main contrib non-free
`
	olderExample = `deb http://live.example.org/debian buster main
deb http://security.example.org/ buster/updates main
deb-src http://live.example.org/debian buster main
`
	ubuntuExample = `Types: deb
URIs: http://archive.example.org/ubuntu/
Suites: noble noble-updates noble-backports
Components: main restricted universe multiverse

Types: deb
URIs: http://security.example.org/ubuntu/
Suites: noble-security
Components: main restricted universe multiverse

Types: deb
Enabled: no
URIs: http://other.example.org/ubuntu/
Suites: noble-proposed
`
	oldUbuntuExample = `deb http://us.example.org/ubuntu jammy main restricted
deb http://us.example.org/ubuntu jammy-updates main restricted
# deb http://us.example.org/ubuntu jammy-backports main
deb http://security.example.org/ubuntu jammy-security main restricted
`
)

func suitesOf(components string, names ...string) []debian.Repository {
	var out []debian.Repository
	for _, n := range names {
		out = append(out, debian.Repository{Suite: n, Components: strings.Fields(components)})
	}
	return out
}

// TestLiveSources makes the sources of a tree out of what its distribution ships.
func TestLiveSources(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		examples map[string]string
		repos    []debian.Repository
		file     string
		want     string
	}{
		{"stanzas", map[string]string{"debian.sources": newExample, "sources.list": oldExample}, suitesOf("main", "trixie", "trixie-updates", "trixie-security"), "debian.sources",
			"Types: deb\nURIs: http://live.example.org/debian\nSuites: trixie trixie-updates\nComponents: main\nSigned-By: /usr/share/keyrings/example.gpg\n\n" +
				"Types: deb\nURIs: http://live.example.org/debian-security\nSuites: trixie-security\nComponents: main\nSigned-By: /usr/share/keyrings/example.gpg\n"},
		{"an example of another release", map[string]string{"debian.sources": newExample}, suitesOf("main contrib", "sid"), "debian.sources",
			"Types: deb\nURIs: http://live.example.org/debian\nSuites: sid\nComponents: main contrib\nSigned-By: /usr/share/keyrings/example.gpg\n"},
		{"lines", map[string]string{"sources.list": oldExample}, suitesOf("main contrib", "bookworm", "bookworm-updates", "bookworm-security"), "sources.list",
			"deb http://live.example.org/debian bookworm main contrib\ndeb http://live.example.org/debian bookworm-updates main contrib\n" +
				"deb [signed-by=/k] http://live.example.org/debian-security bookworm-security main contrib\n"},
		{"no updates in the example", map[string]string{"sources.list": olderExample}, suitesOf("main", "buster", "buster-updates", "buster/updates"), "sources.list",
			"deb http://live.example.org/debian buster main\ndeb http://live.example.org/debian buster-updates main\ndeb http://security.example.org/ buster/updates main\n"},
		{"Ubuntu", map[string]string{"ubuntu.sources": ubuntuExample}, suitesOf("main universe", "noble", "noble-updates", "noble-security"), "ubuntu.sources",
			"Types: deb\nURIs: http://archive.example.org/ubuntu/\nSuites: noble noble-updates\nComponents: main universe\n\n" +
				"Types: deb\nURIs: http://security.example.org/ubuntu/\nSuites: noble-security\nComponents: main universe\n"},
		{"Ubuntu, lines", map[string]string{"sources.list": oldUbuntuExample}, suitesOf("main", "jammy", "jammy-updates", "jammy-security"), "sources.list",
			"deb http://us.example.org/ubuntu jammy main\ndeb http://us.example.org/ubuntu jammy-updates main\ndeb http://security.example.org/ubuntu jammy-security main\n"},
		{"security without a place", map[string]string{"sources.list": "deb http://live.example.org/d x main\n"}, suitesOf("main", "x", "x-security"), "sources.list", "deb http://live.example.org/d x main\n"},
		{"not readable", map[string]string{"debian.sources": "Types deb\n", "sources.list": olderExample}, suitesOf("main", "buster"), "sources.list", "deb http://live.example.org/debian buster main\n"},
		{"nothing", map[string]string{"sources.list": "# nothing\n"}, suitesOf("main", "x"), "", ""},
	} {
		name, text := liveSources(tt.examples, tt.repos)
		if name != tt.file || text != tt.want {
			t.Errorf("%s: %q\n%s", tt.name, name, cmp.Diff(tt.want, text))
		}
	}
}

// The example counts also where documentation is not unpacked, and only that of apt.
func TestSourcesOfUnpackedTree(t *testing.T) {
	t.Parallel()
	apt := testDeb{name: "apt", data: []entry{dir("./"), dir("./usr/"), dir("./usr/share/"), dir("./usr/share/doc/"), dir("./usr/share/doc/apt/"), dir("./" + examplesDir + "/"),
		file("./"+examplesDir+"/debian.sources", newExample), file("./"+examplesDir+"/preferences", "Package: *\n")}}
	other := testDeb{name: "other", data: []entry{dir("./"), file("./"+examplesDir+"/ubuntu.sources", ubuntuExample)}}
	const sources = "etc/apt/sources.list.d/debian.sources"
	for _, excluded := range []bool{false, true} {
		opts := testOptions()
		if excluded {
			opts.filter.excludes = []string{"/usr/share/doc/*"}
		}
		files, tree := t.TempDir(), t.TempDir()
		list := writeDebs(t, files, apt, other)
		list.Repositories = suitesOf("main", "trixie", "trixie-security")
		if err := unpack(context.Background(), &module.Input{Tree: tree}, files, list, opts); err != nil {
			t.Fatal(err)
		}
		_, want := liveSources(map[string]string{"debian.sources": newExample}, list.Repositories)
		if got := read(t, tree, sources); got != want {
			t.Errorf("excluded %v:\n%s", excluded, cmp.Diff(want, got))
		}
		_, err := os.Stat(filepath.Join(tree, examplesDir, "debian.sources"))
		if os.IsNotExist(err) != excluded {
			t.Errorf("excluded %v: the example: %v", excluded, err)
		}
		if !excluded {
			if got := read(t, tree, examplesDir, "debian.sources"); got != newExample {
				t.Errorf("the example is %q", got)
			}
		}
	}
	var log bytes.Buffer
	files, tree := t.TempDir(), t.TempDir()
	list := writeDebs(t, files, testDeb{name: "apt", data: []entry{dir("./")}})
	list.Repositories = suitesOf("main", "trixie")
	if err := unpack(context.Background(), &module.Input{Tree: tree, Log: &log}, files, list, testOptions()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "no example of sources") {
		t.Errorf("the log says %q", log.String())
	}
}

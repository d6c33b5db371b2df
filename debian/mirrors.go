package debian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// ClientMirrors lists the repositories that an apt configuration directory,
// such as /etc/apt, names: sources.list, then sources.list.d in the order of
// names, both forms, without disabled entries and sources of source packages.
func ClientMirrors(dir string) ([]ClientSource, error) {
	var out []ClientSource
	files := []string{filepath.Join(dir, "sources.list")}
	more, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	if err != nil {
		return nil, err
	}
	sort.Strings(more)
	for _, name := range append(files, more...) {
		if !strings.HasSuffix(name, ".list") && !strings.HasSuffix(name, ".sources") {
			continue
		}
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries, err := ParseSources(name, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, e := range entries {
			if e.Type != "deb" {
				continue
			}
			for _, uri := range e.URIs {
				for _, suite := range e.Suites {
					out = append(out, ClientSource{strings.TrimSuffix(uri, "/"), suite, e.Components})
				}
			}
		}
	}
	return out, nil
}

// ClientSource is one repository of a client's apt configuration.
type ClientSource struct {
	URI, Suite string
	Components []string
}

// MirrorsOfClient returns where the apt configuration in dir has a suite, the best
// address first: at the mirror that it uses for it (see ClientMirror), or beside
// that of Debian's other suites. It is empty where nothing is known.
func MirrorsOfClient(dir, suite string) []string {
	if m, err := ClientMirror(dir, suite); err == nil {
		return []string{m}
	}
	if !IsSecurity(suite) {
		return nil
	}
	m, err := ClientMirror(dir, releaseOf(suite))
	if err != nil {
		return nil
	}
	return MirrorsOf(m, suite)
}

// ClientMirror returns the address of the mirror that the apt configuration
// in dir uses for Debian: that of the first source that has the suite, else
// that of the first one which by its suite or address is Debian's archive.
// Security updates are an archive of their own, so a suite of theirs takes a
// mirror that has such suites only.
func ClientMirror(dir, suite string) (string, error) {
	all, err := ClientMirrors(dir)
	if err != nil {
		return "", err
	}
	usable := func(s ClientSource) bool {
		return strings.HasPrefix(s.URI, "http://") || strings.HasPrefix(s.URI, "https://")
	}
	for _, s := range all {
		if usable(s) && s.Suite == suite {
			return s.URI, nil
		}
	}
	if IsSecurity(suite) {
		for _, s := range all {
			base := releaseOf(s.Suite)
			if usable(s) && IsSecurity(s.Suite) && (debianSuites[base] || strings.Contains(s.URI, securityArchive)) {
				return s.URI, nil
			}
		}
		return "", fmt.Errorf("the apt configuration in %s names no mirror of security updates", dir)
	}
	for _, s := range all {
		// The archives of security updates, ports and backports have
		// addresses of their own, which do not end in /debian.
		if usable(s) && (debianSuites[s.Suite] && !strings.Contains(s.URI, securityArchive) || strings.HasSuffix(s.URI, "/debian")) {
			return s.URI, nil
		}
	}
	return "", fmt.Errorf("the apt configuration in %s names no mirror of Debian", dir)
}

var debianSuites = map[string]bool{
	"stable": true, "oldstable": true, "oldoldstable": true, "testing": true, "unstable": true, "sid": true,
	"buster": true, "bullseye": true, "bookworm": true, "trixie": true, "forky": true, "duke": true,
}

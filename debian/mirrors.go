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
		oneLine := strings.HasSuffix(name, ".list")
		if !oneLine && !strings.HasSuffix(name, ".sources") {
			continue
		}
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if oneLine {
			out = append(out, oneLineSources(string(data))...)
			continue
		}
		found, err := deb822Sources(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, found...)
	}
	return out, nil
}

// ClientSource is one repository of a client's apt configuration.
type ClientSource struct {
	URI, Suite string
	Components []string
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
	if strings.HasSuffix(suite, "-security") {
		for _, s := range all {
			if usable(s) && strings.HasSuffix(s.Suite, "-security") {
				return s.URI, nil
			}
		}
		return "", fmt.Errorf("the apt configuration in %s names no mirror of security updates", dir)
	}
	for _, s := range all {
		// The archives of security updates, ports and backports have
		// addresses of their own, which do not end in /debian.
		if usable(s) && (debianSuites[s.Suite] && !strings.Contains(s.URI, "debian-security") || strings.HasSuffix(s.URI, "/debian")) {
			return s.URI, nil
		}
	}
	return "", fmt.Errorf("the apt configuration in %s names no mirror of Debian", dir)
}

var debianSuites = map[string]bool{
	"stable": true, "oldstable": true, "oldoldstable": true, "testing": true, "unstable": true, "sid": true,
	"buster": true, "bullseye": true, "bookworm": true, "trixie": true, "forky": true, "duke": true,
}

func oneLineSources(text string) []ClientSource {
	var out []ClientSource
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '\t' {
			continue
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			_, after, closed := strings.Cut(rest, "]")
			if !closed {
				continue
			}
			rest = after
		}
		f := strings.Fields(rest)
		if len(f) < 2 {
			continue
		}
		out = append(out, ClientSource{strings.TrimSuffix(f[0], "/"), f[1], f[2:]})
	}
	return out
}

func deb822Sources(data []byte) ([]ClientSource, error) {
	stanzas, err := ParseControl(data)
	if err != nil {
		return nil, err
	}
	var out []ClientSource
	for _, s := range stanzas {
		isDeb := false
		for _, typ := range strings.Fields(s.Get("Types")) {
			isDeb = isDeb || typ == "deb"
		}
		if v := s.Get("Enabled"); !isDeb || strings.EqualFold(v, "no") || strings.EqualFold(v, "false") {
			continue
		}
		for _, uri := range strings.Fields(s.Get("URIs")) {
			for _, suite := range strings.Fields(s.Get("Suites")) {
				out = append(out, ClientSource{strings.TrimSuffix(uri, "/"), suite, strings.Fields(s.Get("Components"))})
			}
		}
	}
	return out, nil
}

package stages

import (
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

const (
	hostsFile    = "etc/hosts"
	nsswitchFile = "etc/nsswitch.conf"
	// ownAddress is where Debian's installer puts the name of a machine that
	// has no address of its own for ever.
	ownAddress = "127.0.1.1"
)

// hostsLocal is what Debian's installer writes about localhost.
const (
	hostsLocal = "127.0.0.1\tlocalhost\n"
	hostsIPv6  = "\n# The following lines are desirable for IPv6 capable hosts\n" +
		"::1     localhost ip6-localhost ip6-loopback\n" +
		"ff02::1 ip6-allnodes\n" +
		"ff02::2 ip6-allrouters\n"
)

// needsHosts reports whether the tree resolves its own name by etc/hosts only.
// Where the name service switch asks nss-myhostname, as in RPM distributions,
// it does without; a tree that has neither a switch nor dpkg is no system yet,
// and the package that brings etc/hosts is to find none.
func needsHosts(t *tree.Root) (bool, error) {
	data, ok, err := readOptional(t, nsswitchFile)
	if err != nil {
		return false, err
	}
	if !ok {
		return t.Exists("var/lib/dpkg/status")
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		if sources, ok := strings.CutPrefix(strings.TrimSpace(line), "hosts:"); ok {
			return !slices.Contains(strings.Fields(sources), "myhostname"), nil
		}
	}
	return true, nil
}

// hostsLine is one line of etc/hosts, without its comment.
func hostsLine(line string) (address string, names []string) {
	line, _, _ = strings.Cut(line, "#")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return "", nil
	}
	return fields[0], fields[1:]
}

func namesIn(text, name string) bool {
	for line := range strings.Lines(text) {
		_, names := hostsLine(line)
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return true
		}
	}
	return false
}

// ownNames are the names of the line for a machine: the whole one, and the
// first label.
func ownNames(name string) []string {
	short, _, dotted := strings.Cut(name, ".")
	if !dotted {
		return []string{name}
	}
	return []string{name, short}
}

// withName returns text, the content of etc/hosts, so that it has the name.
// The line for the name from before goes, if it is one that this function
// writes; all other lines stay.
func withName(text, before, name string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if text == "" {
		text = hostsLocal + hostsIPv6
	} else if !namesIn(text, "localhost") {
		text = hostsLocal + text
	}
	var lines []string
	place := -1
	for line := range strings.Lines(text) {
		address, names := hostsLine(line)
		if address == ownAddress && before != "" && slices.Equal(names, ownNames(before)) && !slices.Equal(names, ownNames(name)) {
			if place < 0 {
				place = len(lines)
			}
			continue
		}
		lines = append(lines, line)
	}
	kept := strings.Join(lines, "")
	if namesIn(kept, name) {
		return kept
	}
	if place < 0 {
		// Behind the line for localhost, as the installer has it.
		place = 1 + slices.IndexFunc(lines, func(line string) bool {
			address, _ := hostsLine(line)
			return address == "127.0.0.1"
		})
		if place == 0 {
			place = len(lines)
		}
	}
	own := ownAddress + "\t" + strings.Join(ownNames(name), "\t") + "\n"
	return strings.Join(slices.Insert(lines, place, own), "")
}

// hostsWithName returns what etc/hosts is to hold, or nil if it is right.
func hostsWithName(t *tree.Root, before, name string) ([]byte, error) {
	if ok, err := needsHosts(t); err != nil || !ok {
		return nil, err
	}
	data, _, err := readOptional(t, hostsFile)
	if err != nil {
		return nil, err
	}
	changed := withName(string(data), before, name)
	if changed == string(data) {
		return nil, nil
	}
	return []byte(changed), writable(t, hostsFile)
}

// writeHosts writes etc/hosts, if there is something to write.
func writeHosts(in *module.Input, t *tree.Root, data []byte) error {
	if data == nil {
		return nil
	}
	return writeFile(in, t, hostsFile, data, 0o644)
}

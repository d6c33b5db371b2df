package debian

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// identity is what dpkg's database says of a package: nothing of its file.
type identity struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
}

func (p *identity) check() error {
	switch {
	case !validName(p.Name):
		return fmt.Errorf("package %.200q is no valid name", p.Name)
	case !validVersion(p.Version):
		return fmt.Errorf("package %q: %.200q is no valid version", p.Name, p.Version)
	case !validArch(p.Architecture):
		return fmt.Errorf("package %q: %.200q is no valid architecture", p.Name, p.Architecture)
	}
	return nil
}

// relationFields are the fields of a stanza that hold relations.
var relationFields = []string{"Pre-Depends", "Depends", "Recommends", "Suggests", "Enhances", "Conflicts", "Breaks", "Replaces", "Provides"}

// ParseStatus reads dpkg's database of packages, which is a file of a tree and
// so may hold anything. What it returns is what dpkg itself could have written:
// names, versions, architectures, states and relations are such, no field
// stands twice in a stanza, and none has a control character.
func ParseStatus(data []byte) ([]Stanza, error) {
	stanzas, err := ParseControl(data)
	if err != nil {
		return nil, err
	}
	for _, s := range stanzas {
		if err := checkStatus(s); err != nil {
			return nil, err
		}
	}
	return stanzas, nil
}

// IsPresent reports whether a package of dpkg's database has files in the tree.
func IsPresent(s Stanza) bool {
	f := strings.Fields(s.Get("Status"))
	return len(f) == 3 && f[2] != "not-installed" && f[2] != "config-files"
}

// dpkgStates are the words of the field Status, one list for each place.
var dpkgStates = [3][]string{
	{"unknown", "install", "hold", "deinstall", "purge"},
	{"ok", "reinstreq"},
	{"not-installed", "config-files", "half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending", "installed"},
}

func checkStatus(s Stanza) error {
	p := identity{s.Get("Package"), s.Get("Version"), s.Get("Architecture")}
	if !validName(p.Name) {
		return fmt.Errorf("package %.200q is no valid name", p.Name)
	}
	if err := checkFields(s); err != nil {
		return fmt.Errorf("package %q: %w", p.Name, err)
	}
	state := strings.Fields(s.Get("Status"))
	for i, words := range dpkgStates {
		if len(state) == 0 {
			break // as nothing says that it is there, it is not
		}
		if len(state) != len(dpkgStates) || !slices.Contains(words, state[i]) {
			return fmt.Errorf("package %q: %.200q is no valid status", p.Name, s.Get("Status"))
		}
	}
	// Of a package that is gone, dpkg may remember no more than the name.
	if !IsPresent(s) && p.Version == "" {
		p.Version = "0"
	}
	if !IsPresent(s) && p.Architecture == "" {
		p.Architecture = "all"
	}
	if err := p.check(); err != nil {
		return err
	}
	for _, field := range relationFields {
		if _, err := ParseRelations(s.Get(field)); err != nil {
			return fmt.Errorf("package %q: %s: %w", p.Name, field, err)
		}
	}
	return nil
}

// checkFields reports a field that stands twice in a stanza, of which two
// programs could take different ones, and control characters.
func checkFields(s Stanza) error {
	seen := map[string]bool{}
	for _, f := range s {
		name := strings.ToLower(f.Name)
		if seen[name] {
			return fmt.Errorf("the field %.80q is repeated", f.Name)
		}
		seen[name] = true
		for _, text := range []string{f.Name, f.Value} {
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }) {
				return fmt.Errorf("the field %.80q has a control character", f.Name)
			}
		}
	}
	return nil
}

// CheckMark reports what is wrong with a stanza of apt's file extended_states.
func CheckMark(s Stanza) error {
	p := identity{s.Get("Package"), "0", s.Get("Architecture")}
	if err := p.check(); err != nil {
		return err
	}
	if err := checkFields(s); err != nil {
		return fmt.Errorf("package %q: %w", p.Name, err)
	}
	return nil
}

// EncodeInstalled returns the JSON form of the list of all packages that are
// installed, as dpkg's database has them. Those of the list have what it says;
// of others the name, the version and the architecture are known.
func EncodeInstalled(status []byte, list *PackageList) ([]byte, error) {
	stanzas, err := ParseStatus(status)
	if err != nil {
		return nil, err
	}
	known := map[identity]Package{}
	for _, p := range list.Packages {
		if err := p.check(); err != nil {
			return nil, err
		}
		known[identity{p.Name, p.Version, p.Architecture}] = p
	}
	var found []identity
	for _, s := range stanzas {
		if !strings.HasSuffix(s.Get("Status"), " installed") {
			continue
		}
		p := identity{s.Get("Package"), s.Get("Version"), s.Get("Architecture")}
		if err := p.check(); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	if len(found) > maxListPackages {
		return nil, fmt.Errorf("%d packages are installed, more than %d", len(found), maxListPackages)
	}
	slices.SortFunc(found, func(a, b identity) int {
		return slices.Compare([]string{a.Name, a.Architecture, a.Version}, []string{b.Name, b.Architecture, b.Version})
	})
	out := struct {
		Repositories []Repository `json:"repositories,omitempty"`
		Packages     []any        `json:"packages"`
	}{list.Repositories, []any{}}
	for _, p := range slices.Compact(found) {
		if file, ok := known[p]; ok {
			out.Packages = append(out.Packages, file)
		} else {
			out.Packages = append(out.Packages, p)
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(out)
	return buf.Bytes(), err
}

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

// EncodeInstalled returns the JSON form of the list of all packages that are
// installed, as dpkg's database has them. Those of the list have what it says;
// of others the name, the version and the architecture are known.
func EncodeInstalled(status []byte, list *PackageList) ([]byte, error) {
	stanzas, err := ParseControl(status)
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

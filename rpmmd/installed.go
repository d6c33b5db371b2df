package rpmmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// identity is what rpm's database says of a package: nothing of its file.
type identity struct {
	Name    string `json:"name"`
	Epoch   uint32 `json:"epoch,omitempty"`
	Version string `json:"version"`
	Release string `json:"release"`
	Arch    string `json:"arch"`
}

// parseIdentity takes the first fields of a package in an inventory.
func parseIdentity(f []string) (identity, error) {
	if len(f) < 5 {
		return identity{}, fmt.Errorf("%.80q is no line of an inventory of RPM packages", strings.Join(f, "\t"))
	}
	p := identity{Name: f[0], Version: f[2], Release: f[3], Arch: f[4]}
	if f[1] != "(none)" && f[1] != "" {
		epoch, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil {
			return p, fmt.Errorf("package %.200q: %.200q is no valid epoch", p.Name, f[1])
		}
		p.Epoch = uint32(epoch)
	}
	if !validName(p.Name) || !validVersion(p.Version) || !validVersion(p.Release) || !validArch(p.Arch) {
		return p, fmt.Errorf("%.200q is no valid package", nevra(p.Name, p.Epoch, p.Version, p.Release, p.Arch))
	}
	return p, nil
}

// ReadInventory reads the fields of the first package of an inventory, each as a shell quotes it or a
// plain word. Line ends and tabs between quotes are part of the field; in what
// is returned they are spaces.
func ReadInventory(text string) (fields []string, rest string, err error) {
	bad := func() ([]string, string, error) {
		return nil, "", fmt.Errorf("%.80q is no line of an inventory of RPM packages", text)
	}
	var field strings.Builder
	for i, quoted := 0, false; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'':
			quoted = !quoted
		case c == '\\' && !quoted && i+1 < len(text):
			i++
			field.WriteByte(text[i])
		case quoted && c < ' ' || c == 0x7f:
			field.WriteByte(' ')
		case c == '\t' || c == '\n':
			fields = append(fields, field.String())
			field.Reset()
			if c == '\n' {
				return fields, text[i+1:], nil
			}
		default:
			field.WriteByte(c)
		}
	}
	return bad()
}

// EncodeInstalled returns the JSON form of the list of all packages that are
// installed, as an inventory has them: lines of name, epoch, version, release,
// architecture and more, separated by tabs. Those of the list have what it says;
// of others it is known which they are.
func EncodeInstalled(inventory []byte, list *PackageList) ([]byte, error) {
	known := map[identity]Package{}
	for _, p := range list.Packages {
		if err := p.check(); err != nil {
			return nil, err
		}
		known[identity{p.Name, p.Epoch, p.Version, p.Release, p.Arch}] = p
	}
	var found []identity
	for rest := string(inventory); rest != ""; {
		var f []string
		var err error
		if f, rest, err = ReadInventory(rest); err != nil {
			return nil, err
		}
		// The keys that rpm knows stand among the packages.
		if f[0] == "gpg-pubkey" {
			continue
		}
		p, err := parseIdentity(f)
		if err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	if len(found) > maxListPackages {
		return nil, fmt.Errorf("%d packages are installed, more than %d", len(found), maxListPackages)
	}
	slices.SortFunc(found, func(a, b identity) int {
		if c := slices.Compare([]string{a.Name, a.Arch}, []string{b.Name, b.Arch}); c != 0 {
			return c
		}
		if a.Epoch != b.Epoch {
			return int(int64(a.Epoch) - int64(b.Epoch))
		}
		return slices.Compare([]string{a.Version, a.Release}, []string{b.Version, b.Release})
	})
	out := struct {
		Repositories []Repository `json:"repositories,omitempty"`
		Database     string       `json:"database,omitempty"`
		Packages     []any        `json:"packages"`
	}{list.Repositories, list.Database, []any{}}
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
	err := enc.Encode(out)
	return buf.Bytes(), err
}

package rpmmd

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/editdistance"
)

// Bounds of lists of packages. Fedora has 70 000 packages in 400 MB.
const (
	maxPrimaryPackages = 2_000_000
	maxProvides        = 200_000
	maxNameLength      = 1000
	maxNamesSize       = 512 << 20
)

// PrimaryPackage is what the metadata say of one package.
type PrimaryPackage struct {
	// Package has no File, Order and Reason; SHA256 is empty where the
	// repository uses another kind of checksum.
	Package
	// Provides lists the names that the package provides, its own too.
	Provides []string
	// Problem says why the package cannot be used, as one can have a checksum
	// that proves nothing and need not be asked for; else it is nil.
	Problem error
}

// ReadPrimary calls each for every package of a primary.xml, which must not be
// compressed: see Data.Open. Source packages are passed over. What is handed
// over is valid until each returns.
func ReadPrimary(r io.Reader, each func(p *PrimaryPackage) error) error {
	x := newXMLReader(r, MaxMetadata+1)
	count := 0
	for {
		t, err := x.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("primary.xml: %w", err)
		}
		start, ok := t.(xml.StartElement)
		switch {
		case !ok:
			continue
		case x.depth == 1 && start.Name.Local != "metadata":
			return fmt.Errorf("primary.xml: begins with <%.40s> and not with <metadata>", start.Name.Local)
		case x.depth != 2 || start.Name.Local != "package":
			continue
		}
		if count++; count > maxPrimaryPackages {
			return fmt.Errorf("primary.xml: more than %d packages", maxPrimaryPackages)
		}
		p, err := readPrimaryPackage(x)
		if err != nil {
			return fmt.Errorf("primary.xml: package %d: %w", count, err)
		}
		if p.Arch == "src" || p.Arch == "nosrc" {
			continue
		}
		if p.Problem == nil {
			p.Problem = p.check()
		}
		if err := each(p); err != nil {
			return err
		}
	}
}

// check reports what is wrong with the fields that metadata have.
func (p *PrimaryPackage) check() error {
	whole := p.Package
	whole.File = "x.rpm"
	return whole.check()
}

func readPrimaryPackage(x *xmlReader) (*PrimaryPackage, error) {
	p := &PrimaryPackage{}
	var text *string
	var kind, sum string
	inProvides := false
	for x.depth >= 2 {
		t, err := x.next()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.CharData:
			if text != nil {
				if len(*text)+len(t) > maxNameLength {
					return nil, fmt.Errorf("a name or checksum of more than %d characters", maxNameLength)
				}
				*text += string(t)
			}
		case xml.EndElement:
			text = nil
			if x.depth == 3 {
				inProvides = false
			}
		case xml.StartElement:
			text = nil
			switch {
			case x.depth == 3 && t.Name.Local == "name":
				p.Name, text = "", &p.Name
			case x.depth == 3 && t.Name.Local == "arch":
				p.Arch, text = "", &p.Arch
			case x.depth == 3 && t.Name.Local == "checksum":
				kind, sum, text = attr(t, "type"), "", &sum
			case x.depth == 3:
				if err := p.element(t); err != nil && p.Problem == nil {
					p.Problem = fmt.Errorf("package %.80q: %w", p.Name, err)
				}
			case x.depth == 4:
				inProvides = t.Name.Local == "provides"
			case x.depth == 5 && inProvides && t.Name.Local == "entry":
				if len(p.Provides) >= maxProvides {
					return nil, fmt.Errorf("provides more than %d names", maxProvides)
				}
				if name := attr(t, "name"); name != "" && len(name) <= maxNameLength {
					p.Provides = append(p.Provides, name)
				}
			}
		}
	}
	p.Name, p.Arch = strings.TrimSpace(p.Name), strings.TrimSpace(p.Arch)
	switch c, err := newChecksum(kind, sum); {
	case p.Problem != nil:
	case err != nil:
		p.Problem = fmt.Errorf("package %.80q: %w", p.Name, err)
	case c.Algorithm == "sha256":
		p.SHA256 = c.Hex
	default:
		p.Sum = c.String()
	}
	return p, nil
}

// element reads one of the elements that have all in attributes.
func (p *PrimaryPackage) element(t xml.StartElement) error {
	switch t.Name.Local {
	case "version":
		p.Version, p.Release = attr(t, "ver"), attr(t, "rel")
		epoch := attr(t, "epoch")
		if epoch == "" {
			epoch = "0"
		}
		n, err := strconv.ParseUint(epoch, 10, 32)
		if err != nil {
			return fmt.Errorf("%.40q is no valid epoch", epoch)
		}
		p.Epoch = uint32(n)
	case "location":
		p.Location = attr(t, "href")
		for _, a := range t.Attr {
			if a.Name.Local == "base" {
				p.Base = a.Value
			}
		}
	case "size":
		n, err := strconv.ParseInt(attr(t, "package"), 10, 64)
		if err != nil {
			return fmt.Errorf("%.40q is no valid size", attr(t, "package"))
		}
		p.Size = n
	}
	return nil
}

// Names holds what the packages and groups of some repositories are called,
// for messages about those that there are not.
type Names struct {
	packages map[string]bool
	provided map[string]bool
	groups   map[string]bool
	// size is that of all names.
	size int
}

// NewNames returns an empty set.
func NewNames() *Names {
	return &Names{packages: map[string]bool{}, provided: map[string]bool{}, groups: map[string]bool{}}
}

// ReadPrimary adds the names of a primary.xml.
func (n *Names) ReadPrimary(r io.Reader) error {
	return ReadPrimary(r, func(p *PrimaryPackage) error {
		if validName(p.Name) {
			n.add(n.packages, p.Name)
		}
		for _, name := range p.Provides {
			n.add(n.provided, name)
		}
		return n.full()
	})
}

func (n *Names) add(set map[string]bool, name string) {
	if !set[name] {
		set[name] = true
		n.size += len(name)
	}
}

func (n *Names) full() error {
	if n.size > maxNamesSize {
		return fmt.Errorf("the names in the repositories take more than %d MiB", maxNamesSize>>20)
	}
	return nil
}

// ReadGroups adds the ids and names of groups and environments of a comps
// file, which must not be compressed.
func (n *Names) ReadGroups(r io.Reader) error {
	x := newXMLReader(r, MaxMetadata+1)
	within := false
	var text strings.Builder
	taken := false
	for {
		t, err := x.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the list of groups: %w", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if x.depth == 2 {
				within = t.Name.Local == "group" || t.Name.Local == "environment"
			}
			// Names in other languages have an attribute.
			taken = within && x.depth == 3 && (t.Name.Local == "id" || t.Name.Local == "name" && len(t.Attr) == 0)
			text.Reset()
		case xml.CharData:
			if taken = taken && text.Len()+len(t) <= maxNameLength; taken {
				text.Write(t)
			}
		case xml.EndElement:
			if name := strings.TrimSpace(text.String()); taken && name != "" {
				n.add(n.groups, name)
			}
			taken = false
			if err := n.full(); err != nil {
				return err
			}
		}
	}
}

// Has reports whether there is a package of the name or one that provides it;
// with @ before it, whether there is such a group.
func (n *Names) Has(name string) bool {
	if group, ok := strings.CutPrefix(name, "@"); ok {
		if n.groups[group] {
			return true
		}
		for g := range n.groups {
			if strings.EqualFold(g, group) {
				return true
			}
		}
		return false
	}
	return n.packages[name] || n.provided[name]
}

// NotFound returns the error for a package or group that there is not, with
// the nearest names.
func (n *Names) NotFound(name string) error {
	if group, ok := strings.CutPrefix(name, "@"); ok {
		return fmt.Errorf("there is no group %q in the repositories%s", group, editdistance.DidYouMeanPackage(group, sorted(n.groups)))
	}
	hint := editdistance.DidYouMeanPackage(name, sorted(n.packages))
	if hint == "" {
		hint = editdistance.DidYouMeanPackage(name, sorted(n.provided))
	}
	return fmt.Errorf("there is no package %q in the repositories%s", name, hint)
}

func sorted(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

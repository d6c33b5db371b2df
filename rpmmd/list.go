package rpmmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ListFile is the name under which a package list is stored.
const ListFile = "packages.json"

// Bounds of a list.
const (
	// MaxPackageSize bounds one package file, in bytes.
	MaxPackageSize  = 64 << 30
	maxListPackages = 100_000
)

// Reasons for which a package is installed, in the words of dnf.
const (
	ReasonUser       = "user"
	ReasonGroup      = "group"
	ReasonDependency = "dependency"
	ReasonWeak       = "weak-dependency"
	ReasonUnknown    = ""
)

// PackageList says which package files a transaction needs. Its JSON form is
// sorted, so that equal lists are equal bytes.
type PackageList struct {
	// Repositories describes the repositories that the packages come from;
	// Package.Repository counts in it.
	Repositories []Repository `json:"repositories,omitempty"`
	// Database is the directory, from the root of the system, in which the
	// distribution's rpm has its database; empty where nobody knows yet.
	Database string `json:"database,omitempty"`
	// Packages is sorted by name, architecture, epoch, version and release.
	Packages []Package `json:"packages"`
}

// Repository is the state of a repository. It does not name the mirror: the
// same state is the same list whatever mirror it came from.
type Repository struct {
	// ID is the name that the repository has for the solver.
	ID string `json:"id"`
	// Revision is the repository's own name of this state.
	Revision string `json:"revision,omitempty"`
	// Repomd is the checksum of repomd.xml, "sha256:…": what the option
	// "checksum" takes to pin this state.
	Repomd string `json:"repomd,omitempty"`
}

// Package is one package file.
type Package struct {
	// Name, Epoch, Version, Release and Arch are the package's identity.
	Name    string `json:"name"`
	Epoch   uint32 `json:"epoch,omitempty"`
	Version string `json:"version"`
	Release string `json:"release"`
	Arch    string `json:"arch"`
	// Repository is the index of the repository that has the file.
	Repository int `json:"repository"`
	// Location is the file's path relative to the repository, as it is listed:
	// see URL and Place.
	Location string `json:"location"`
	// Base is the address that Location is relative to where that is not the
	// repository's own.
	Base string `json:"base,omitempty"`
	// File is the unique name under which the file is to be stored.
	File string `json:"file"`
	// Size is the file's size in bytes.
	Size int64 `json:"size"`
	// SHA256 is the file's checksum in hex. It is empty as long as the file was
	// not downloaded whose repository uses another kind.
	SHA256 string `json:"sha256"`
	// Sum is the checksum that the repository lists the file with where it is
	// of another kind than SHA-256, such as "sha512:…".
	Sum string `json:"checksum,omitempty"`
	// Order is the package's place in the transaction, from 1; zero where the
	// solver did not say.
	Order int `json:"order,omitempty"`
	// Reason says why the package is there: see ReasonUser and the others.
	Reason string `json:"reason,omitempty"`
}

// NEVRA returns NAME-[EPOCH:]VERSION-RELEASE.ARCH.
func (p *Package) NEVRA() string {
	return nevra(p.Name, p.Epoch, p.Version, p.Release, p.Arch)
}

// DefaultFile returns NAME-VERSION-RELEASE.ARCH.rpm, as rpm names packages.
func (p *Package) DefaultFile() string {
	return nevra(p.Name, 0, p.Version, p.Release, p.Arch) + ".rpm"
}

// Checksum returns what the repository says of the file.
func (p *Package) Checksum() Checksum {
	if c, err := ParseChecksum(p.Sum); err == nil {
		return c
	}
	return Checksum{"sha256", p.SHA256}
}

// Place returns the path under which a copy of the repository has the file: its
// location, unless that leads elsewhere.
func (p *Package) Place() string {
	if p.Base == "" && validLocation(p.Location) {
		return p.Location
	}
	return p.File
}

// CheckFile reports whether a package file is the package of the list: a good
// signature says who made a package, and not that it is the one asked for.
func (p *Package) CheckFile(f *File) error {
	if p.Name != f.Name || p.Epoch != f.Epoch || p.Version != f.Version || p.Release != f.Release || p.Arch != f.Arch {
		return fmt.Errorf("the file %s is package %s and not %s, as the repository says", p.File, f.NEVRA(), p.NEVRA())
	}
	return nil
}

func (p *Package) check() error {
	bad := func(field, value string) error {
		return fmt.Errorf("package %.200q: %.200q is no valid %s", p.Name, value, field)
	}
	switch {
	case !validName(p.Name):
		return bad("name", p.Name)
	case !validVersion(p.Version):
		return bad("version", p.Version)
	case !validVersion(p.Release):
		return bad("release", p.Release)
	case !validArch(p.Arch):
		return bad("architecture", p.Arch)
	case checkLocation(p.Location) != nil:
		return bad("location", p.Location)
	case p.Base != "" && checkURL(p.Base) != nil:
		return bad("base address", p.Base)
	case !validChars(p.File, 255, "._+~^-") || strings.HasPrefix(p.File, ".") || strings.HasPrefix(p.File, "-") || !strings.HasSuffix(p.File, ".rpm"):
		return bad("file name", p.File)
	case p.Sum != "" && !otherSum(p.Sum):
		return bad("checksum of another kind than SHA256", p.Sum)
	case (p.Sum == "" || p.SHA256 != "") && (len(p.SHA256) != 64 || !isHex(p.SHA256)):
		return bad("SHA256 checksum", p.SHA256)
	case p.Size <= 0 || p.Size > MaxPackageSize:
		return bad("size", fmt.Sprint(p.Size))
	case p.Repository < 0:
		return bad("repository index", fmt.Sprint(p.Repository))
	case p.Order < 0 || p.Order > maxListPackages:
		return bad("order", fmt.Sprint(p.Order))
	case !slices.Contains([]string{ReasonUser, ReasonGroup, ReasonDependency, ReasonWeak, ReasonUnknown}, p.Reason):
		return bad("reason", p.Reason)
	}
	return nil
}

func otherSum(s string) bool {
	c, err := ParseChecksum(s)
	return err == nil && c.Algorithm != "sha256" && c.String() == s
}

// Sort brings the packages into their order.
func (l *PackageList) Sort() {
	slices.SortFunc(l.Packages, func(a, b Package) int {
		for _, c := range []int{
			strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch), int(int64(a.Epoch) - int64(b.Epoch)),
			strings.Compare(a.Version, b.Version), strings.Compare(a.Release, b.Release), strings.Compare(a.File, b.File),
		} {
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

// Encode returns the list as indented JSON, sorted and with a final newline.
func (l *PackageList) Encode() ([]byte, error) {
	l.Sort()
	if err := l.Check(); err != nil {
		return nil, err
	}
	if l.Packages == nil {
		l.Packages = []Package{}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(l); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Check reports the first thing that is wrong with the list: a field of a
// package or a repository, an unknown repository, or a file name or place
// that occurs twice.
func (l *PackageList) Check() error {
	if len(l.Packages) > maxListPackages {
		return fmt.Errorf("the list holds %d packages, more than %d", len(l.Packages), maxListPackages)
	}
	for _, r := range l.Repositories {
		if !validChars(r.ID, 200, "._:-") || !printable(r.Revision) {
			return fmt.Errorf("repository %.80q with revision %.80q is not valid", r.ID, r.Revision)
		}
		if r.Repomd != "" {
			if _, err := ParseChecksum(r.Repomd); err != nil {
				return fmt.Errorf("repository %q: %w", r.ID, err)
			}
		}
	}
	if l.Database != "" && (!strings.HasPrefix(l.Database, "/") || !validLocation(l.Database[1:])) {
		return fmt.Errorf("%.200q is no directory of a database", l.Database)
	}
	files, orders := map[string]bool{}, map[int]bool{}
	for i := range l.Packages {
		p := &l.Packages[i]
		if err := p.check(); err != nil {
			return err
		}
		switch {
		case len(l.Repositories) > 0 && p.Repository >= len(l.Repositories):
			return fmt.Errorf("package %q: there is no repository %d", p.Name, p.Repository)
		case files[p.File]:
			return fmt.Errorf("package %q: the file name %s occurs twice", p.Name, p.File)
		case p.Order != 0 && orders[p.Order]:
			return fmt.Errorf("package %q: the place %d occurs twice", p.Name, p.Order)
		}
		files[p.File], orders[p.Order] = true, true
	}
	return nil
}

// InOrder returns the packages in the order of the transaction; those that
// have no place come last, by name.
func (l *PackageList) InOrder() []Package {
	l.Sort()
	out := slices.Clone(l.Packages)
	slices.SortStableFunc(out, func(a, b Package) int {
		switch {
		case a.Order == b.Order:
			return 0
		case a.Order == 0:
			return 1
		case b.Order == 0:
			return -1
		}
		return a.Order - b.Order
	})
	return out
}

// MergeLists puts together what several stages have installed in one system.
// Of a package that occurs twice the last one counts.
func MergeLists(lists []PackageList) *PackageList {
	out := &PackageList{}
	places := map[Repository]int{}
	packages := map[string]Package{}
	for _, l := range lists {
		if l.Database != "" {
			out.Database = l.Database
		}
		for _, p := range l.Packages {
			if p.Repository < len(l.Repositories) {
				r := l.Repositories[p.Repository]
				if _, ok := places[r]; !ok {
					places[r] = len(out.Repositories)
					out.Repositories = append(out.Repositories, r)
				}
				p.Repository = places[r]
			}
			p.Order = 0
			packages[p.File] = p
		}
	}
	for _, p := range packages {
		out.Packages = append(out.Packages, p)
	}
	out.Sort()
	return out
}

// ParseList reads a list from its JSON form and checks it.
func ParseList(data []byte) (*PackageList, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var l PackageList
	if err := dec.Decode(&l); err != nil {
		return nil, fmt.Errorf("the package list: %w", err)
	}
	if dec.More() {
		return nil, errors.New("the package list: more than one JSON value")
	}
	l.Sort()
	if err := l.Check(); err != nil {
		return nil, fmt.Errorf("the package list: %w", err)
	}
	return &l, nil
}

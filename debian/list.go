package debian

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ListFile is the name under which a package list is stored.
const ListFile = "packages.json"

// InstallFile is the name of a package list that does not say of which day its
// repositories are.
const InstallFile = "install.json"

// maxListPackages bounds a list: no image holds more packages.
const maxListPackages = 100_000

// MaxPackageSize bounds one package file, in bytes: the format's own limit.
const MaxPackageSize = 9_999_999_999

// PackageList says which package files are to be installed, or make up an
// image. Its JSON form is sorted, so that equal lists are equal bytes.
type PackageList struct {
	// Repositories describes the repositories that the packages come from;
	// Package.Repository counts in it.
	Repositories []Repository `json:"repositories,omitempty"`
	// Packages is sorted by name, architecture and version.
	Packages []Package `json:"packages"`
}

// Repository is the state of a repository. It does not name the mirror: the
// same state is the same list whatever mirror it came from.
type Repository struct {
	// Suite is the name under which the repository was asked for.
	Suite string `json:"suite"`
	// Origin, Label and Codename are the fields of the release file.
	Origin   string `json:"origin,omitempty"`
	Label    string `json:"label,omitempty"`
	Codename string `json:"codename,omitempty"`
	// Components lists the components that were read.
	Components []string `json:"components,omitempty"`
	// Date is when the archive made the release file.
	Date time.Time `json:"date"`
	// InRelease is the checksum of the file InRelease, "sha256:…": what the
	// option "checksum" takes to pin this state.
	InRelease string `json:"in_release,omitempty"`
}

// Package is one package file.
type Package struct {
	// Name is the package's name.
	Name string `json:"name"`
	// Version is its version.
	Version string `json:"version"`
	// Architecture is its architecture, or "all".
	Architecture string `json:"architecture"`
	// Repository is the index of the repository that has the file.
	Repository int `json:"repository"`
	// Path is the file's path relative to the mirror.
	Path string `json:"path"`
	// File is the unique name under which the file is to be stored.
	File string `json:"file"`
	// Size is the file's size in bytes.
	Size int64 `json:"size"`
	// SHA256 is the file's checksum in hex.
	SHA256 string `json:"sha256"`
	// Automatic says that nobody asked for the package: it is there because
	// another one needs it.
	Automatic bool `json:"automatic,omitempty"`
}

// DefaultFile returns NAME_VERSION_ARCHITECTURE.deb with the colon of an epoch
// escaped, as apt names the files in its cache.
func (p *Package) DefaultFile() string {
	return p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%3a") + "_" + p.Architecture + ".deb"
}

// Check reports what is wrong with the package's fields.
func (p *Package) check() error {
	bad := func(field, value string) error {
		return fmt.Errorf("package %q: %q is no valid %s", p.Name, value, field)
	}
	switch {
	case !validName(p.Name):
		return bad("name", p.Name)
	case !validVersion(p.Version):
		return bad("version", p.Version)
	case !validArch(p.Architecture):
		return bad("architecture", p.Architecture)
	case !validPath(p.Path):
		return bad("path below a mirror", p.Path)
	case !validPath(p.File) || strings.ContainsAny(p.File, "/") || !strings.HasSuffix(p.File, ".deb"):
		return bad("file name", p.File)
	case !validSHA256(p.SHA256):
		return bad("SHA256 checksum", p.SHA256)
	case p.Size <= 0 || p.Size > MaxPackageSize:
		return bad("size", fmt.Sprint(p.Size))
	case p.Repository < 0:
		return bad("repository index", fmt.Sprint(p.Repository))
	}
	return nil
}

// Sort brings the packages into their order.
func (l *PackageList) Sort() {
	slices.SortFunc(l.Packages, func(a, b Package) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		if c := strings.Compare(a.Architecture, b.Architecture); c != 0 {
			return c
		}
		return strings.Compare(a.Version, b.Version)
	})
}

// ForInstall returns the list without what says of which day its repositories are.
// What is installed does not depend on it: a repository that was signed anew, as
// Debian's are several times a day, need not install the same packages again.
func (l *PackageList) ForInstall() *PackageList {
	out := &PackageList{Repositories: slices.Clone(l.Repositories), Packages: l.Packages}
	for i := range out.Repositories {
		out.Repositories[i].Date, out.Repositories[i].InRelease = time.Time{}, ""
	}
	return out
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
// package, an unknown repository, or a file name that occurs twice.
func (l *PackageList) Check() error {
	if len(l.Packages) > maxListPackages {
		return fmt.Errorf("the list holds %d packages, more than %d", len(l.Packages), maxListPackages)
	}
	seen := map[string]bool{}
	for i := range l.Packages {
		p := &l.Packages[i]
		if err := p.check(); err != nil {
			return err
		}
		if len(l.Repositories) > 0 && p.Repository >= len(l.Repositories) {
			return fmt.Errorf("package %q: there is no repository %d", p.Name, p.Repository)
		}
		if seen[p.File] {
			return fmt.Errorf("package %q: the file name %s occurs twice", p.Name, p.File)
		}
		seen[p.File] = true
	}
	return nil
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
		return nil, fmt.Errorf("the package list: more than one JSON value")
	}
	l.Sort()
	if err := l.Check(); err != nil {
		return nil, fmt.Errorf("the package list: %w", err)
	}
	return &l, nil
}

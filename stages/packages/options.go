package packages

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/module"
)

// DebootstrapOptions are the options of org.osbuildkit.debootstrap.
type DebootstrapOptions struct {
	// Suite is the suite or code name of the distribution, such as "trixie".
	// Debian 12 (bookworm) and later suites are supported.
	Suite string `json:"suite" jsonschema:"required,pattern=^[A-Za-z0-9][A-Za-z0-9._/+-]*$"`
	// The http or https address of the repository, below which "dists" lies; files
	// of your own are served over HTTP, as a builder does not see them. The
	// default is the mirror of the build, and without one Debian's general
	// mirror, or the snapshot archive of the day where that does not answer.
	// Debian's security updates are looked for in "debian-security" beside it.
	Mirror string `json:"mirror,omitempty" jsonschema:"pattern=^https?://"`
	// Snapshot pins the state of all suites: they are taken from the snapshot
	// archive as they were at this time, such as "20261121T000000Z". With
	// "mirror" that is the address of an archive of snapshots, to which the time
	// is added. Repositories of later stages that have no mirror are of the same
	// time.
	Snapshot string `json:"snapshot,omitempty" jsonschema:"pattern=^[0-9]{8}T[0-9]{6}Z$"`
	// Updates says whether the updates and the security suite that belong to
	// the suite are used as well, such as trixie-updates and trixie-security. The
	// default is true, but false where "checksum" pins the suite without
	// "snapshot".
	Updates *bool `json:"updates,omitempty"`
	// Components lists the components of the repository. The default is main.
	Components []string `json:"components,omitempty"`
	// Arch is Debian's name of the architecture. The default is that of the
	// platform of the build.
	Arch string `json:"arch,omitempty" jsonschema:"pattern=^[a-z0-9][a-z0-9-]*$"`
	// Keyring holds the public keys that may sign the repository, as armored
	// text. The default is the keyring of Debian's archive.
	Keyring string `json:"keyring,omitempty"`
	// Variant says what is installed: "minbase" is the packages of priority
	// required and apt, "required" leaves out apt, and "important" adds the
	// packages of priority important to minbase.
	Variant string `json:"variant,omitempty" jsonschema:"enum=minbase,enum=required,enum=important,default=minbase"`
	// Packages lists further packages to be unpacked together with the base
	// system. It is meant for what the base system itself needs; packages
	// whose maintainer scripts must run before they are unpacked, or that
	// need others to be configured first, belong in org.osbuildkit.apt.
	Packages []string `json:"packages,omitempty"`
	// Checksum pins the state of the suite: the checksum of its file
	// InRelease. It says nothing of updates and security suite, so without
	// "snapshot" they are not used.
	Checksum string `json:"checksum,omitempty" jsonschema:"pattern=^sha256:[0-9a-f]{64}$"`
	// Sources is what the finished tree has as its package sources: each item
	// is one line of a sources.list ("deb https://…") or one stanza in the
	// form of deb822 ("Types: deb\nURIs: …"). The default is the live
	// addresses of the suites that it was built from, as the distribution's own
	// package apt has them in its example; an empty list leaves the tree without
	// sources.
	Sources *[]string `json:"sources,omitempty"`
	// PathExcludes lists patterns of paths that are not unpacked, now and by
	// dpkg ever after, as dpkg's path-exclude takes them, such as
	// "/usr/share/doc/*".
	PathExcludes []string `json:"path_excludes,omitempty"`
	// PathIncludes lists patterns of paths that are unpacked although a
	// pattern of path_excludes matches them.
	PathIncludes []string `json:"path_includes,omitempty"`
	// Clean says whether caches, logs and all that must not be the same on
	// two machines are removed afterwards. The default is true.
	Clean *bool `json:"clean,omitempty" jsonschema:"default=true"`
}

// RepositoryOptions names one repository.
type RepositoryOptions struct {
	// The http or https address of the repository, below which "dists" lies; files
	// of your own are served over HTTP, as a builder does not see them. The
	// default is that of the build, as in org.osbuildkit.debootstrap.
	Mirror string `json:"mirror,omitempty" jsonschema:"pattern=^https?://"`
	// Snapshot pins the state of the repository: that which the snapshot archive
	// has of this time, such as "20261121T000000Z". With "mirror" that is the
	// address of an archive of snapshots, to which the time is added. The default
	// is the time of the org.osbuildkit.debootstrap stage earlier in the pipeline,
	// where no mirror is named.
	Snapshot string `json:"snapshot,omitempty" jsonschema:"pattern=^[0-9]{8}T[0-9]{6}Z$"`
	// Suite is the suite or code name, such as "trixie-updates". For a
	// repository without suites it is, as in a sources.list, the directory below
	// "mirror" that has the list of its packages, with a slash at the end: "./"
	// or "binary/".
	Suite string `json:"suite" jsonschema:"required,minLength=1"`
	// Components lists the components of the repository. The default is main. A
	// repository without suites has none.
	Components []string `json:"components,omitempty"`
	// Arch is Debian's name of the architecture. The default is that of the
	// tree.
	Arch string `json:"arch,omitempty" jsonschema:"pattern=^[a-z0-9][a-z0-9-]*$"`
	// Keyring holds the public keys that may sign the repository, as armored
	// text. The default is the keyring of Debian's archive.
	Keyring string `json:"keyring,omitempty"`
	// Checksum pins the state of the repository: the checksum of its file
	// InRelease, or of Release where it has no InRelease.
	Checksum string `json:"checksum,omitempty" jsonschema:"pattern=^sha256:[0-9a-f]{64}$"`
}

// AptOptions are the options of org.osbuildkit.apt.
type AptOptions struct {
	// Packages lists the packages to install, each as apt-get takes it: NAME,
	// NAME=VERSION or NAME:ARCHITECTURE. Behind a space may follow the
	// architectures for which it is meant, as in Debian's control files:
	// "grub-pc-bin [amd64 i386]", or "[!arm64]" for all but some; for others it
	// is left out.
	Packages []string `json:"packages" jsonschema:"required,minItems=1"`
	// Repos lists the repositories. The default is those of the
	// org.osbuildkit.debootstrap stage earlier in the pipeline, its updates and
	// security suites among them.
	Repos []RepositoryOptions `json:"repos,omitempty"`
	// ExcludePackages lists packages that are not installed even if others
	// depend on them; if there is no other way, the stage fails.
	ExcludePackages []string `json:"exclude_packages,omitempty"`
	// InstallRecommends says whether recommended packages are installed too.
	InstallRecommends bool `json:"install_recommends,omitempty" jsonschema:"default=false"`
	// Update says whether installed packages are upgraded as well.
	Update bool `json:"update,omitempty" jsonschema:"default=false"`
	// Debconf lists answers for debconf, each a line as
	// debconf-set-selections takes it: "PACKAGE QUESTION TYPE VALUE".
	Debconf []string `json:"debconf,omitempty"`
	// Sources replaces the package sources of the finished tree: each item is
	// one line of a sources.list or one stanza in the form of deb822. Without
	// it the tree keeps those it has.
	Sources *[]string `json:"sources,omitempty"`
	// PathExcludes lists patterns of paths that dpkg does not unpack, in
	// addition to those that the tree has already.
	PathExcludes []string `json:"path_excludes,omitempty"`
	// Clean says whether caches, logs and all that must not be the same on
	// two machines are removed afterwards. The default is true.
	Clean *bool `json:"clean,omitempty" jsonschema:"default=true"`
	// Auth is the name of a build secret whose content is sent to the mirrors
	// as the Authorization header.
	Auth string `json:"auth,omitempty"`
}

// WithDefaults returns the options with defaults filled in; arch is the
// architecture of the tree.
func (o RepositoryOptions) WithDefaults(arch string) RepositoryOptions {
	if len(o.Components) == 0 && !debian.IsFlat(o.Suite) {
		o.Components = []string{"main"}
	}
	if o.Arch == "" {
		o.Arch = arch
	}
	return o
}

// WithDefaults returns the options with defaults filled in; arch is the
// architecture of the platform.
func (o DebootstrapOptions) WithDefaults(arch string) DebootstrapOptions {
	if len(o.Components) == 0 {
		o.Components = []string{"main"}
	}
	if o.Arch == "" {
		o.Arch = arch
	}
	if o.Variant == "" {
		o.Variant = "minbase"
	}
	return o
}

// DebootstrapSolveOptions are what the part solve depends on.
type DebootstrapSolveOptions struct {
	Repos    []RepositoryOptions `json:"repos"`
	Variant  string              `json:"variant"`
	Packages []string            `json:"packages,omitempty"`
}

// ForSolve returns what the part solve depends on; repos are the suites that
// there are, the one that was asked for first.
func (o DebootstrapOptions) ForSolve(repos []RepositoryOptions) DebootstrapSolveOptions {
	return DebootstrapSolveOptions{Repos: withoutPlaces(repos), Variant: o.Variant, Packages: o.Packages}
}

// withoutPlaces leaves out where repositories are and what pins them: their files
// are what counts.
func withoutPlaces(repos []RepositoryOptions) []RepositoryOptions {
	var out []RepositoryOptions
	for _, r := range repos {
		r.Mirror, r.Snapshot, r.Checksum = "", "", ""
		out = append(out, r)
	}
	return out
}

// Repository returns the suite that is asked for.
func (o DebootstrapOptions) Repository() RepositoryOptions {
	return RepositoryOptions{
		Mirror: o.Mirror, Snapshot: o.Snapshot, Suite: o.Suite, Components: o.Components, Arch: o.Arch, Keyring: o.Keyring, Checksum: o.Checksum,
	}
}

// WithUpdates reports whether the suites that belong to the one that is asked for
// are used as well. A pinned build must not change with them, so a checksum needs
// the time that says which state of them is meant: one of the options, or that of
// the build, if it has any.
func (o DebootstrapOptions) WithUpdates(ofBuild bool) bool {
	if o.Updates != nil {
		return *o.Updates
	}
	_, dated := debian.SnapshotTime(o.Mirror)
	return o.Checksum == "" || dated || o.Snapshot != "" || ofBuild && o.Mirror == ""
}

// ForUnpack returns what the part unpack depends on.
func (o DebootstrapOptions) ForUnpack() DebootstrapOptions {
	return DebootstrapOptions{Suite: o.Suite, Arch: o.Arch, PathExcludes: o.PathExcludes, PathIncludes: o.PathIncludes}
}

// ForConfigure returns what the part configure depends on.
func (o DebootstrapOptions) ForConfigure() DebootstrapOptions {
	return DebootstrapOptions{Suite: o.Suite, Arch: o.Arch, Sources: o.Sources}
}

// Cleaned reports whether the normaliser follows.
func (o DebootstrapOptions) Cleaned() bool { return o.Clean == nil || *o.Clean }

// For returns the options for a tree of one architecture, in Debian's terms:
// without the packages that are meant for others.
func (o AptOptions) For(arch string) AptOptions {
	var list []string
	for _, p := range o.Packages {
		name, only, limited := cutArchitectures(p)
		if !limited || only.has(arch) {
			list = append(list, name)
		}
	}
	o.Packages = list
	return o
}

// architectures is a list of architectures of a control file: one of them, or
// if each stands behind a "!", any other.
type architectures []string

// cutArchitectures cuts the architectures off a package. limited says whether
// there are any.
func cutArchitectures(p string) (name string, list architectures, limited bool) {
	name, rest, ok := strings.Cut(p, " [")
	if inner, closed := strings.CutSuffix(rest, "]"); ok && closed {
		return name, strings.Fields(inner), true
	}
	return p, nil, false
}

// has reports whether an architecture is meant.
func (a architectures) has(arch string) bool {
	if len(a) > 0 && strings.HasPrefix(a[0], "!") {
		return !slices.Contains(a, "!"+arch)
	}
	return slices.Contains(a, arch)
}

// valid reports whether the list is one of names, all with a "!" or none.
func (a architectures) valid() bool {
	not := len(a) > 0 && strings.HasPrefix(a[0], "!")
	for _, name := range a {
		plain, negated := strings.CutPrefix(name, "!")
		if negated != not || plain == "any" || strings.ToLower(plain) != plain || !debian.ValidPackageName(plain) {
			return false
		}
	}
	return len(a) > 0
}

// ForSolve returns what the parts solve and solve-inside depend on.
func (o AptOptions) ForSolve() AptOptions {
	return AptOptions{
		Packages: o.Packages, Repos: withoutPlaces(o.Repos), ExcludePackages: o.ExcludePackages, InstallRecommends: o.InstallRecommends, Update: o.Update,
	}
}

// ForApply returns what the part apply depends on.
func (o AptOptions) ForApply() AptOptions {
	return AptOptions{Packages: o.Packages, Debconf: o.Debconf, Sources: o.Sources, PathExcludes: o.PathExcludes}
}

// Cleaned reports whether the normaliser follows.
func (o AptOptions) Cleaned() bool { return o.Clean == nil || *o.Clean }

func checkDebootstrap(options json.RawMessage) []module.Problem {
	var o DebootstrapOptions
	if err := json.Unmarshal(options, &o); err != nil {
		return []module.Problem{{Message: err.Error()}}
	}
	var c checker
	if o.Suite != "" && !cleanPath(o.Suite) {
		c.add("/suite", "%q is no name of a suite; a repository without suites, whose packages lie in one directory, is not supported here, but in org.osbuildkit.apt", o.Suite)
	}
	c.snapshot("", o.Mirror, o.Snapshot)
	c.components("/components", o.Components)
	for i, p := range o.Packages {
		if !debian.ValidPackageName(p) {
			c.add(fmt.Sprintf("/packages/%d", i), "%q is no name of a package; versions and architectures can be chosen in org.osbuildkit.apt only", p)
		}
	}
	c.patterns("/path_excludes", o.PathExcludes)
	c.patterns("/path_includes", o.PathIncludes)
	c.sources(o.Sources)
	c.keyring("/keyring", o.Keyring)
	return c.problems
}

func checkApt(options json.RawMessage) []module.Problem {
	var o AptOptions
	if err := json.Unmarshal(options, &o); err != nil {
		return []module.Problem{{Message: err.Error()}}
	}
	c := checker{o.check()}
	for i, r := range o.Repos {
		if debian.IsFlat(r.Suite) && validSuite(r.Suite) && r.Mirror == "" {
			c.add(fmt.Sprintf("/repos/%d", i), "it is not said where the repository without suites is: give \"mirror\"")
		}
	}
	return c.problems
}

// check reports what is wrong with the options that a part sees.
func (o AptOptions) check() []module.Problem {
	var c checker
	for i, p := range o.Packages {
		if err := checkAptName(p); err != nil {
			c.add(fmt.Sprintf("/packages/%d", i), "%v", err)
		}
	}
	for i, p := range o.ExcludePackages {
		if !debian.ValidPackageName(p) {
			c.add(fmt.Sprintf("/exclude_packages/%d", i), "%q is no name of a package", p)
		}
	}
	for i, r := range o.Repos {
		at := fmt.Sprintf("/repos/%d", i)
		c.repository(at, r)
		c.snapshot(at, r.Mirror, r.Snapshot)
		c.keyring(at+"/keyring", r.Keyring)
	}
	for i, d := range o.Debconf {
		if len(strings.Fields(d)) < 3 || hasControl(strings.ReplaceAll(d, "\t", " ")) {
			c.add(fmt.Sprintf("/debconf/%d", i), "want one line \"PACKAGE QUESTION TYPE VALUE\"")
		}
	}
	if hasControl(o.Auth) {
		c.add("/auth", "%q is not the name of a secret", o.Auth)
	}
	c.patterns("/path_excludes", o.PathExcludes)
	c.sources(o.Sources)
	return c.problems
}

// hasControl reports whether a text has characters that end a line or a word of a
// configuration, or that no configuration has.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// checkAptName reports why apt-get should not be given p as a package: a
// leading or trailing minus would be an option or a removal.
func checkAptName(p string) error {
	whole, only, limited := cutArchitectures(p)
	if limited && !only.valid() {
		return fmt.Errorf("%q is no package; want a list of architectures in the brackets, all with a \"!\" or none", p)
	}
	name, ver, hasVersion := strings.Cut(whole, "=")
	name, arch, hasArch := strings.Cut(name, ":")
	ok := debian.ValidPackageName(name) && !strings.HasSuffix(name, "-") &&
		(!hasArch || debian.ValidPackageName(arch))
	if ok && hasVersion {
		_, err := debian.CompareVersions(ver, "0")
		ok = err == nil
	}
	if !ok {
		return fmt.Errorf("%q is no package; want NAME, NAME=VERSION or NAME:ARCHITECTURE, each with the architectures for which it is meant as in \"NAME [amd64]\" or without", p)
	}
	return nil
}

type checker struct{ problems []module.Problem }

func (c *checker) add(pointer, format string, args ...any) {
	c.problems = append(c.problems, module.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
}

// repository checks where a repository is, in the forms of a sources.list.
func (c *checker) repository(at string, r RepositoryOptions) {
	switch flat := debian.IsFlat(r.Suite); {
	case r.Suite == "":
		// The schema says so.
	case !validSuite(r.Suite):
		c.add(at+"/suite", "%q is no name of a suite; of a repository without suites, whose packages lie in one directory, it is that directory with a slash at the end, such as \"./\"", r.Suite)
	case flat && len(r.Components) > 0:
		c.add(at+"/components", "a repository without suites, as the slash at the end of %q says, has no components: leave them out, or give a suite", r.Suite)
	}
	c.components(at+"/components", r.Components)
}

// snapshot checks the address of a repository, and the time that it is pinned to.
func (c *checker) snapshot(at, mirror, snapshot string) {
	if hasControl(mirror) || strings.Contains(mirror, " ") {
		c.add(at+"/mirror", "%q is no address: it holds white space or a control character", redact.Text(mirror))
	}
	if snapshot == "" {
		return
	}
	if _, err := debian.ParseSnapshot(snapshot); err != nil {
		c.add(at+"/snapshot", "%v", err)
	} else if _, dated := debian.SnapshotTime(mirror); dated {
		c.add(at+"/snapshot", "the address in \"mirror\" names a time already: leave out one of the two, or the time in the address")
	}
}

// validSuite reports whether s is the name of a suite, or the directory of a
// repository without suites.
func validSuite(s string) bool {
	if !debian.IsFlat(s) {
		return cleanPath(s)
	}
	dir := debian.ReleaseDir(s)
	return !strings.Contains(s, "..") && (dir == "." || cleanPath(dir))
}

func (c *checker) components(pointer string, list []string) {
	for i, s := range list {
		if !cleanPath(s) {
			c.add(fmt.Sprintf("%s/%d", pointer, i), "%q is no name of a component", s)
		}
	}
}

func (c *checker) patterns(pointer string, list []string) {
	for i, s := range list {
		if !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "*") || hasControl(s) {
			c.add(fmt.Sprintf("%s/%d", pointer, i), "%q is no pattern of absolute paths; begin it with a slash", s)
		}
	}
}

func (c *checker) sources(list *[]string) {
	if list == nil {
		return
	}
	for i, s := range *list {
		if err := checkSource(s); err != nil {
			c.add(fmt.Sprintf("/sources/%d", i), "%v", err)
		}
	}
}

func (c *checker) keyring(pointer, text string) {
	if text == "" {
		return
	}
	if err := debian.CheckKeyring([]byte(text)); err != nil {
		c.add(pointer, "%v", err)
	}
}

// cleanPath reports whether s is a relative path of plain words.
func cleanPath(s string) bool {
	if s == "" || path.Clean(s) != s || strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._/+-~", c) {
			return false
		}
	}
	return !strings.Contains(s, "..")
}

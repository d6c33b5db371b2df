package packages

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// DnfOptions are the options of org.osbuild.dnf.
type DnfOptions struct {
	// Repos lists the repositories.
	Repos []DnfRepository `json:"repos" jsonschema:"required,minItems=1"`
	// Packages lists what is installed, each as dnf takes it: a package, with
	// or without a version and architecture, a file or capability that one
	// provides, "@" and a group, or "@" and a module with its stream.
	Packages []string `json:"packages" jsonschema:"required,minItems=1"`
	// Releasever is the release of the distribution: $releasever in addresses.
	Releasever string `json:"releasever" jsonschema:"required,minLength=1"`
	// Basearch is the architecture: $basearch in addresses. The default is
	// that of the platform of the build.
	Basearch string `json:"basearch,omitempty" jsonschema:"minLength=1"`
	// Operation is dnf's command, such as "install", "remove" or
	// "distro-sync".
	Operation string `json:"operation,omitempty" jsonschema:"default=install"`
	// InstallWeakDeps says whether recommended packages are installed too.
	InstallWeakDeps *bool `json:"install_weak_deps,omitempty" jsonschema:"default=true"`
	// ExcludePackages lists packages, or patterns of their names, that are not
	// installed; if there is no other way, the stage fails.
	ExcludePackages []string `json:"exclude_packages,omitempty"`
	// ModulePlatformID is the platform that module streams are for, such as
	// "platform:el8".
	ModulePlatformID string `json:"module_platform_id,omitempty" jsonschema:"pattern=^[a-z0-9_.-]+:[A-Za-z0-9_.-]+$"`
	// Fastestmirror has no meaning here: mirrors are asked in the order of
	// their list, so that a build does not depend on how fast they were.
	Fastestmirror *bool `json:"fastestmirror,omitempty" jsonschema:"default=true"`
	// Gpgkeys lists public keys, as armored text, that "gpgkey" of the
	// repositories may name by their fingerprints.
	Gpgkeys []string `json:"gpgkeys,omitempty"`
	// Timeout is how many seconds the download of one file may take before the
	// next mirror is asked. The default is 60 for the lists of mirrors and for
	// repomd.xml, and no limit for other files.
	Timeout int `json:"timeout,omitempty" jsonschema:"minimum=1,maximum=86400"`
	// Clean says whether caches, logs and all that must not be the same on
	// two machines are removed afterwards. The default is true.
	Clean *bool `json:"clean,omitempty" jsonschema:"default=true"`
}

// DnfRepository is one repository of RPM packages. At least one of "baseurl",
// "metalink" and "mirrorlist" says where it is.
type DnfRepository struct {
	// ID is the repository's name in messages and in the records of the system.
	// The default is "repo" and its number, from 0.
	ID string `json:"id,omitempty" jsonschema:"pattern=^[A-Za-z0-9_.:-]+$"`
	// Baseurl is the address of the repository, below which "repodata" lies.
	// Several mirrors of it are separated by spaces.
	Baseurl string `json:"baseurl,omitempty" jsonschema:"minLength=1"`
	// Metalink is the address of a list of mirrors that also vouches for the
	// repository's state.
	Metalink string `json:"metalink,omitempty" jsonschema:"minLength=1"`
	// Mirrorlist is the address of a plain list of mirrors.
	Mirrorlist string `json:"mirrorlist,omitempty" jsonschema:"minLength=1"`
	// Checksum pins the state of the repository: the checksum of its file
	// repomd.xml.
	Checksum string `json:"checksum,omitempty" jsonschema:"pattern=^(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$"`
	// Gpgkey holds the public keys that may sign packages, as armored text; or
	// the fingerprint of one of the keys in "gpgkeys", or in the named context
	// "keys" of the build. No key is ever fetched.
	Gpgkey string `json:"gpgkey,omitempty" jsonschema:"minLength=1"`
	// Gpgcheck says whether each package must be signed by one of the keys.
	Gpgcheck *bool `json:"gpgcheck,omitempty" jsonschema:"default=true"`
	// RepoGpgcheck says whether repomd.xml must be signed too, by a file
	// repomd.xml.asc beside it.
	RepoGpgcheck bool `json:"repo_gpgcheck,omitempty" jsonschema:"default=false"`
	// Priority says which repository a package is taken from where several
	// have it: the one with the lowest number, from 1 to 99.
	Priority int `json:"priority,omitempty" jsonschema:"minimum=1,maximum=99,default=99"`
	// ModuleHotfixes says whether the packages are offered although they belong
	// to modules.
	ModuleHotfixes bool `json:"module_hotfixes,omitempty" jsonschema:"default=false"`
	// Sslcacert names the secret of the build with the certificates, in PEM
	// form, of the authorities that vouch for the server. The default are those
	// that the build root trusts.
	Sslcacert string `json:"sslcacert,omitempty" jsonschema:"pattern=^[A-Za-z0-9_./-]+$"`
	// Sslclientcert names the secret with the certificate that the server asks
	// for. Files of the repository are then downloaded by steps, with curl or
	// Python of the build root.
	Sslclientcert string `json:"sslclientcert,omitempty" jsonschema:"pattern=^[A-Za-z0-9_./-]+$"`
	// Sslclientkey names the secret with the private key of "sslclientcert". It
	// is not needed if that has both.
	Sslclientkey string `json:"sslclientkey,omitempty" jsonschema:"pattern=^[A-Za-z0-9_./-]+$"`
}

// YumOptions are the options of org.osbuild.yum.
type YumOptions struct {
	// Repos lists the repositories.
	Repos []DnfRepository `json:"repos" jsonschema:"required,minItems=1"`
	// Packages lists what is installed, as in org.osbuild.dnf.
	Packages []string `json:"packages" jsonschema:"required,minItems=1"`
	// Releasever is the release of the distribution: $releasever in addresses.
	Releasever string `json:"releasever" jsonschema:"required,minLength=1"`
	// Basearch is the architecture. The default is that of the platform of the
	// build.
	Basearch string `json:"basearch,omitempty" jsonschema:"minLength=1"`
	// Operation is the command, such as "install".
	Operation string `json:"operation,omitempty" jsonschema:"default=install"`
	// Verbosity is how much rpm says about the scriptlets that it runs.
	Verbosity string `json:"verbosity,omitempty" jsonschema:"enum=critical,enum=emergency,enum=error,enum=warn,enum=info,enum=debug,default=info"`
	// Gpgkeys lists public keys that "gpgkey" may name by their fingerprints.
	Gpgkeys []string `json:"gpgkeys,omitempty"`
	// Timeout is how many seconds the download of one file may take.
	Timeout int `json:"timeout,omitempty" jsonschema:"minimum=1,maximum=86400"`
	// Clean says whether caches, logs and all that must not be the same on
	// two machines are removed afterwards. The default is true.
	Clean *bool `json:"clean,omitempty" jsonschema:"default=true"`
}

// Dnf returns the options of the same work for org.osbuild.dnf: yum is dnf's
// older name, and dnf does its work.
func (o YumOptions) Dnf() DnfOptions {
	return DnfOptions{
		Repos: o.Repos, Packages: o.Packages, Releasever: o.Releasever, Basearch: o.Basearch, Operation: o.Operation,
		Gpgkeys: o.Gpgkeys, Timeout: o.Timeout, Clean: o.Clean,
	}
}

// DnfJob is what the parts of org.osbuild.dnf depend on. Neither an address nor
// a checksum of a repository is in it: its files are what counts.
type DnfJob struct {
	Packages         []string `json:"packages"`
	Releasever       string   `json:"releasever"`
	Basearch         string   `json:"basearch"`
	Operation        string   `json:"operation"`
	WeakDeps         bool     `json:"weak_deps"`
	Exclude          []string `json:"exclude,omitempty"`
	ModulePlatformID string   `json:"module_platform_id,omitempty"`
	Verbosity        string   `json:"verbosity,omitempty"`
	// Repos are in the order of the options.
	Repos []DnfJobRepository `json:"repos"`
}

// DnfJobRepository is what the parts depend on of one repository.
type DnfJobRepository struct {
	ID             string `json:"id"`
	Priority       int    `json:"priority,omitempty"`
	ModuleHotfixes bool   `json:"module_hotfixes,omitempty"`
	// Keys are the armored keys that must have signed the packages; empty if
	// none has to.
	Keys string `json:"keys,omitempty"`
}

// WithDefaults returns the options with defaults filled in; basearch is that
// of the platform.
func (o DnfOptions) WithDefaults(basearch string) DnfOptions {
	if o.Basearch == "" {
		o.Basearch = basearch
	}
	if o.Operation == "" {
		o.Operation = "install"
	}
	o.Repos = slices.Clone(o.Repos)
	for i := range o.Repos {
		if o.Repos[i].ID == "" {
			o.Repos[i].ID = "repo" + strconv.Itoa(i)
		}
	}
	return o
}

// Job returns what the parts depend on. The options have their defaults.
func (o DnfOptions) Job() (DnfJob, error) {
	j := DnfJob{
		Packages: o.Packages, Releasever: o.Releasever, Basearch: o.Basearch, Operation: o.Operation,
		WeakDeps: o.InstallWeakDeps == nil || *o.InstallWeakDeps, Exclude: o.ExcludePackages, ModulePlatformID: o.ModulePlatformID,
	}
	for _, r := range o.Repos {
		jr := DnfJobRepository{ID: r.ID, Priority: r.Priority, ModuleHotfixes: r.ModuleHotfixes}
		if r.checked() {
			var err error
			if jr.Keys, err = o.keyText(r); err != nil {
				return j, err
			}
		}
		j.Repos = append(j.Repos, jr)
	}
	return j, nil
}

// ForSolve returns what the part solve depends on: keys are none of it.
func (j DnfJob) ForSolve() DnfJob {
	j.Repos = slices.Clone(j.Repos)
	for i := range j.Repos {
		j.Repos[i].Keys = ""
	}
	j.Verbosity = ""
	return j
}

// Keys returns the keys of one of the repositories.
func (o DnfOptions) Keys(r DnfRepository) (*rpmmd.Keys, error) {
	given, err := givenKeys(o.Gpgkeys)
	if err != nil {
		return nil, err
	}
	return rpmmd.GPGKey(r.Gpgkey, given)
}

// LacksKeys reports whether a repository names a key by its fingerprint that is
// not in "gpgkeys".
func (o DnfOptions) LacksKeys() bool {
	return slices.ContainsFunc(o.Repos, func(r DnfRepository) bool {
		if r.Gpgkey == "" {
			return false
		}
		_, err := o.Keys(r)
		return errors.Is(err, rpmmd.ErrNoSuchKey)
	})
}

// keyText returns the keys of one of the repositories in their normal form, so
// that how the manifest writes them is in no cache key.
func (o DnfOptions) keyText(r DnfRepository) (string, error) {
	keys, err := o.Keys(r)
	if err != nil {
		return "", err
	}
	return string(keys.Armor()), nil
}

// lastKeys are the keys that were read last: they are asked for once for each
// repository that a manifest names, and there may be many of both.
var lastKeys struct {
	sync.Mutex
	texts []string
	keys  *rpmmd.Keys
	err   error
}

func givenKeys(texts []string) (*rpmmd.Keys, error) {
	if len(texts) == 0 {
		return nil, nil //nolint:nilnil // no keys are given
	}
	l := &lastKeys
	l.Lock()
	defer l.Unlock()
	if !slices.Equal(l.texts, texts) {
		l.keys, l.err = readGivenKeys(texts)
		l.texts = slices.Clone(texts)
	}
	return l.keys, l.err
}

func readGivenKeys(texts []string) (*rpmmd.Keys, error) {
	var all []*rpmmd.Keys
	for i, text := range texts {
		keys, err := rpmmd.ReadKeys([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i+1, len(texts), err)
		}
		all = append(all, keys)
	}
	return rpmmd.MergeKeys(all...), nil
}

func (r DnfRepository) checked() bool { return r.Gpgcheck == nil || *r.Gpgcheck }

// Variables are what $name in the addresses stands for.
func (o DnfOptions) Variables() rpmmd.Variables {
	return rpmmd.Variables{ReleaseVer: o.Releasever, BaseArch: o.Basearch}
}

// Cleaned reports whether the normaliser follows.
func (o DnfOptions) Cleaned() bool { return o.Clean == nil || *o.Clean }

// operations are the commands of dnf that change what is installed.
var operations = []string{
	"install", "reinstall", "upgrade", "update", "upgrade-minimal", "distro-sync", "downgrade",
	"remove", "erase", "autoremove", "swap", "group", "module",
}

var (
	validPlainWord = regexp.MustCompile(`^[A-Za-z0-9._+~-]+$`)
	validSpecName  = regexp.MustCompile(`^@?[A-Za-z0-9_][A-Za-z0-9._+-]*$`)
)

func checkDnf(options json.RawMessage) []module.Problem {
	var o DnfOptions
	if err := json.Unmarshal(options, &o); err != nil {
		return []module.Problem{{Message: err.Error()}}
	}
	return o.check()
}

func checkYum(options json.RawMessage) []module.Problem {
	var o YumOptions
	if err := json.Unmarshal(options, &o); err != nil {
		return []module.Problem{{Message: err.Error()}}
	}
	return o.Dnf().check()
}

func (o DnfOptions) check() []module.Problem {
	var c checker
	for i, p := range o.Packages {
		if err := checkSpec(p); err != nil {
			c.add(fmt.Sprintf("/packages/%d", i), "%v", err)
		}
	}
	for i, p := range o.ExcludePackages {
		if err := checkSpec(p); err != nil {
			c.add(fmt.Sprintf("/exclude_packages/%d", i), "%v", err)
		}
	}
	if o.Operation != "" && !slices.Contains(operations, o.Operation) {
		c.add("/operation", "%q is no command of dnf that changes packages; there are: %s", o.Operation, strings.Join(operations, ", "))
	}
	for _, w := range [][2]string{{"/releasever", o.Releasever}, {"/basearch", o.Basearch}} {
		if w[1] != "" && (!validPlainWord.MatchString(w[1]) || strings.HasPrefix(w[1], "-")) {
			c.add(w[0], "%q has characters that cannot stand in an address or, as the first one, on a command line", w[1])
		}
	}
	if _, err := givenKeys(o.Gpgkeys); err != nil {
		c.add("/gpgkeys", "%v", err)
		return c.problems
	}
	ids := map[string]bool{}
	o = o.WithDefaults("x86_64")
	for i, r := range o.Repos {
		at := fmt.Sprintf("/repos/%d", i)
		if ids[r.ID] {
			c.add(at, "two repositories are called %q: give them different values of \"id\"", r.ID)
		}
		ids[r.ID] = true
		o.checkRepository(&c, at, r)
	}
	return c.problems
}

// checkRepository checks one of the repositories; the options have their
// defaults.
func (o DnfOptions) checkRepository(c *checker, at string, r DnfRepository) {
	if strings.TrimSpace(r.Baseurl+r.Metalink+r.Mirrorlist) == "" {
		c.add(at, "it is not said where the repository is: give \"metalink\", \"mirrorlist\" or \"baseurl\"")
	}
	v := o.Variables()
	for _, a := range []struct {
		key  string
		urls []string
	}{{"baseurl", strings.Fields(r.Baseurl)}, {"metalink", nonEmpty(r.Metalink)}, {"mirrorlist", nonEmpty(r.Mirrorlist)}} {
		for _, u := range a.urls {
			plain, err := v.Expand(u)
			if err == nil {
				_, err = rpmmd.JoinURL(plain, "x")
			}
			if err != nil {
				c.add(at+"/"+a.key, "%v", err)
			}
		}
	}
	switch {
	case r.Gpgkey != "":
		// The key itself may be given with the build.
		keys, err := o.Keys(r)
		if err == nil && (r.checked() || r.RepoGpgcheck) {
			err = keys.Check()
		}
		if err != nil && !errors.Is(err, rpmmd.ErrNoSuchKey) {
			c.add(at+"/gpgkey", "%v", err)
		}
	case r.checked() || r.RepoGpgcheck:
		c.add(at, "the signatures of packages are to be verified, and there is no key: give \"gpgkey\"")
	}
	if r.Sslclientkey != "" && r.Sslclientcert == "" {
		c.add(at+"/sslclientkey", "there is no certificate that the key is for: give \"sslclientcert\"")
	}
	if r.Sslcacert+r.Sslclientcert != "" && !strings.Contains(r.Baseurl+r.Metalink+r.Mirrorlist, "https://") {
		c.add(at, "certificates have a meaning for https addresses only")
	}
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// checkSpec reports why dnf should not be given s as a package.
func checkSpec(s string) error {
	switch {
	case s == "" || strings.HasPrefix(s, "-"):
		return fmt.Errorf("%q is no package", s)
	case strings.ContainsAny(s, "\n\r\x00"):
		return fmt.Errorf("%q has a line end in it", s)
	case strings.Contains(s, "://") || strings.HasSuffix(s, ".rpm"):
		return fmt.Errorf("%q is a package file: packages come from the repositories; org.osbuild.rpm installs files", s)
	}
	return nil
}

package lint

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// Stages that install from repositories.
const (
	debootstrapStage = "org.osbuildkit.debootstrap"
	aptStage         = "org.osbuildkit.apt"
	dnfStage         = "org.osbuild.dnf"
	yumStage         = "org.osbuild.yum"
)

// repository is one that a stage installs from.
type repository struct {
	Suite    string `json:"suite"`
	Checksum string `json:"checksum"`
	// Snapshot and Updates are Debian's.
	Snapshot string `json:"snapshot"`
	Updates  *bool  `json:"updates"`
	// Mirror is Debian's; the others are those of RPM repositories.
	Mirror     string `json:"mirror"`
	BaseURL    texts  `json:"baseurl"`
	MirrorList string `json:"mirrorlist"`
	Metalink   string `json:"metalink"`

	// path leads from the options to the repository.
	path   []string
	debian bool
}

// address is one URL of a repository and the option it stands in.
type address struct {
	url string
	key string
}

func (r *repository) addresses() []address {
	var out []address
	for _, a := range []address{{r.Mirror, "mirror"}, {r.MirrorList, "mirrorlist"}, {r.Metalink, "metalink"}} {
		if a.url != "" {
			out = append(out, a)
		}
	}
	for _, u := range r.BaseURL {
		out = append(out, address{u, "baseurl"})
	}
	return out
}

func (r *repository) dated() bool {
	all := r.addresses()
	return len(all) > 0 && !slices.ContainsFunc(all, func(a address) bool { return !dated(a.url) })
}

// repositories lists the repositories of a stage.
func repositories(s *manifest.Stage) []repository {
	switch s.Type {
	case debootstrapStage:
		var r repository
		decode(s, &r)
		r.debian = true
		return []repository{r}
	case aptStage, dnfStage, yumStage:
		var o struct {
			Repos []repository `json:"repos"`
		}
		decode(s, &o)
		for i := range o.Repos {
			o.Repos[i].path = []string{"repos", strconv.Itoa(i)}
			o.Repos[i].debian = s.Type == aptStage
		}
		return o.Repos
	}
	return nil
}

// day is a date in an address, as snapshot archives and composes have one.
var day = regexp.MustCompile(`(^|[-_./])(19|20)[0-9]{6}(T[0-9]{6}Z)?([-_./]|$)`)

// dated reports whether an address names a state that does not change.
func dated(address string) bool {
	u, err := url.Parse(address)
	return err == nil && day.MatchString(u.Path)
}

// pinned reports whether the state of a repository is always the same. The time of
// the system that a pipeline makes is that of later repositories as well.
func (p *pass) pinned(r *repository, system string) bool {
	if r.dated() || r.Snapshot != "" {
		return true
	}
	if r.debian && r.Mirror == "" && (p.config.Dated || system != "") {
		return true
	}
	// The checksum of one suite says nothing of those that belong to it.
	return r.Checksum != "" && (r.Updates == nil || !*r.Updates)
}

// oldSuites are the releases of Debian before those that are supported.
var oldSuites = []string{"bullseye", "buster", "stretch", "jessie", "wheezy", "squeeze", "lenny", "etch", "sarge", "woody", "potato"}

func unsupportedSuite(p *pass) {
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		var o struct {
			Suite string `json:"suite"`
		}
		if decode(s, &o); s.Type == debootstrapStage && slices.Contains(oldSuites, o.Suite) {
			p.atOption(at, s, []string{"suite"}, "Debian 12 (bookworm) and later releases are supported, and %s is older: name a later suite", quote(o.Suite))
		}
	})
}

func unpinnedRepository(p *pass) {
	for _, at := range p.m.Pipelines {
		system := ""
		for _, s := range at.Stages {
			for _, r := range repositories(s) {
				if s.Type == debootstrapStage {
					system = r.Snapshot
				}
				if p.pinned(&r, system) {
					continue
				}
				const text = "the repository is not pinned, so the result changes when it does: "
				hint := "give the \"checksum\" of its repomd.xml file, or the address of a dated snapshot"
				switch {
				case r.debian && r.Mirror == "":
					hint = "add \"snapshot\": \"" + p.today() + "\""
				case r.debian && debian.KnownCompanions(r.Suite) != nil:
					hint = "put \"snapshot\": \"" + p.today() + "\" in the place of \"mirror\", or give the \"checksum\" of its InRelease file"
				case r.debian:
					hint = "give the \"checksum\" of its InRelease file, or the address of a dated snapshot"
				}
				if r.path == nil {
					p.atStage(at, s, "%s", text+hint)
				} else {
					p.atOption(at, s, r.path, "%s", text+hint)
				}
			}
		}
	}
}

// today is the time of the newest state that a snapshot archive is sure to have.
func (p *pass) today() string {
	return debian.FormatSnapshot(p.config.Now.UTC().Truncate(24 * time.Hour))
}

// frozen are archives of releases that are no longer changed.
var frozen = []string{"archive.debian.org", "old-releases.ubuntu.com"}

var (
	movingRepository = regexp.MustCompile(`(?i)(^|[^a-z])(updates?|rawhide|latest|current|development|testing|epel|stream)([^a-z]|$)`)
	movingFile       = regexp.MustCompile(`(?i)(/latest(/|$)|[-_.]latest[-_.]|/(current|nightly|rawhide)/|/refs/heads/` +
		`|/(raw|archive|blob|tarball|zipball)/(main|master|head|trunk|develop)([/.]|$)` +
		`|^https?://raw\.githubusercontent\.com/[^/]+/[^/]+/(main|master|head|trunk|develop)/)`)
)

// moving reports whether a repository's address always has the newest state.
func (r *repository) moving(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || dated(address) || slices.Contains(frozen, u.Hostname()) {
		return false
	}
	// A Debian mirror has the newest state only. Those of RPM distributions
	// also have releases as they were on their day.
	return r.debian || movingRepository.MatchString(u.Path+"?"+u.RawQuery)
}

func mutableURL(p *pass) {
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		for _, r := range repositories(s) {
			for _, a := range r.addresses() {
				if r.Checksum != "" && r.Snapshot == "" && r.moving(a.url) {
					p.atOption(at, s, append(slices.Clone(r.path), a.key),
						"this address has the newest state of the repository only, so the build fails once it is not the one that \"checksum\" pins: use a dated snapshot")
					break
				}
			}
		}
	})
	p.items(func(source *manifest.Source, pointer, id string, urls []string) {
		for _, u := range urls {
			if movingFile.MatchString(u) && !dated(u) {
				p.atKey("", pointer, "what is at %s changes, and then its checksum does not fit any more: use the address of a version", quote(u))
				return
			}
		}
	})
}

var (
	trustedLine   = regexp.MustCompile(`(?i)^\s*deb(-src)?\s+\[[^\]]*\b(trusted|allow-insecure)\s*=\s*yes`)
	trustedStanza = regexp.MustCompile(`(?im)^(trusted|allow-insecure)[ \t]*:[ \t]*yes[ \t]*$`)
)

func unsignedRepository(p *pass) {
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		switch s.Type {
		case debootstrapStage, aptStage:
			var o struct {
				Sources []string `json:"sources"`
			}
			decode(s, &o)
			for i, line := range o.Sources {
				if trustedLine.MatchString(line) || trustedStanza.MatchString(line) {
					p.atOption(at, s, []string{"sources", strconv.Itoa(i)},
						"the system would install from this repository without a look at its signature: name its key with \"signed-by\"")
				}
			}
		case dnfStage, yumStage:
			p.dnfRepos(at, s)
		case "org.osbuild.yum.repos":
			p.yumRepos(at, s)
		case "org.osbuild.pacman.conf":
			p.pacmanConf(at, s)
		case "org.osbuild.kickstart":
			var o struct {
				OSTree struct {
					GPG *bool `json:"gpg"`
				} `json:"ostree"`
				Container struct {
					Verify *bool `json:"signatureverification"`
				} `json:"ostreecontainer"`
			}
			decode(s, &o)
			if o.OSTree.GPG != nil && !*o.OSTree.GPG {
				p.atOption(at, s, []string{"ostree", "gpg"}, "the installer would take any commit: leave out \"gpg\", and give the key to the installer")
			}
			if o.Container.Verify != nil && !*o.Container.Verify {
				p.atOption(at, s, []string{"ostreecontainer", "signatureverification"}, "the installer would take any image: leave out \"signatureverification\"")
			}
		}
	})
}

// dnfRepos reports repositories whose packages nothing vouches for: neither
// signatures of their own, nor the checksums in metadata that are pinned or
// signed.
func (p *pass) dnfRepos(at *manifest.Pipeline, s *manifest.Stage) {
	var o struct {
		Repos []struct {
			GPGCheck     *bool  `json:"gpgcheck"`
			RepoGPGCheck bool   `json:"repo_gpgcheck"`
			Checksum     string `json:"checksum"`
		} `json:"repos"`
	}
	decode(s, &o)
	for i, r := range o.Repos {
		if r.GPGCheck != nil && !*r.GPGCheck && !r.RepoGPGCheck && r.Checksum == "" {
			p.atOption(at, s, []string{"repos", strconv.Itoa(i), "gpgcheck"},
				"packages of this repository would be installed without a look at their signatures: leave out \"gpgcheck\", or give the \"checksum\" of its repomd.xml file")
		}
	}
}

func (p *pass) yumRepos(at *manifest.Pipeline, s *manifest.Stage) {
	var o struct {
		Repos []struct {
			GPGCheck     *bool `json:"gpgcheck"`
			RepoGPGCheck bool  `json:"repo_gpgcheck"`
		} `json:"repos"`
	}
	decode(s, &o)
	for i, r := range o.Repos {
		if r.GPGCheck != nil && !*r.GPGCheck && !r.RepoGPGCheck {
			p.atOption(at, s, []string{"repos", strconv.Itoa(i), "gpgcheck"},
				"the system would install packages of this repository without a look at their signatures: set \"gpgcheck\", and give the \"gpgkey\"")
		}
	}
}

func (p *pass) pacmanConf(at *manifest.Pipeline, s *manifest.Stage) {
	var o struct {
		Repositories []struct {
			SigLevels []string `json:"siglevels"`
		} `json:"repositories"`
	}
	decode(s, &o)
	for i, r := range o.Repositories {
		for j, level := range r.SigLevels {
			if strings.EqualFold(level, "Never") || strings.EqualFold(level, "Optional") {
				p.atOption(at, s, []string{"repositories", strconv.Itoa(i), "siglevels", strconv.Itoa(j)},
					"the system would install packages of this repository that nobody has signed: use \"Required\"")
			}
		}
	}
}

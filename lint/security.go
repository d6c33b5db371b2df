package lint

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// securitySuite returns the suite with the security updates of one of Debian's
// releases, or "" for any other suite.
func securitySuite(suite string) string {
	all := debian.KnownCompanions(suite)
	if i := slices.IndexFunc(all, debian.IsSecurity); i >= 0 {
		return all[i]
	}
	return ""
}

// unsecured returns the first of the suites that is a release of Debian whose
// security suite is not among them, and that suite; -1 if there is none.
func unsecured(suites []string) (int, string) {
	for i, s := range suites {
		if security := securitySuite(s); security != "" && !slices.ContainsFunc(suites, debian.IsSecurity) {
			return i, security
		}
	}
	return -1, ""
}

// noSecurityUpdates looks for systems of Debian that are made without the security
// updates of their release, or do not hear of later ones.
func noSecurityUpdates(p *pass) {
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		// In a build root nothing runs but this build.
		if slices.ContainsFunc(p.m.Pipelines, func(q *manifest.Pipeline) bool { return q.Build == at.Name }) {
			return
		}
		switch s.Type {
		case debootstrapStage:
			p.systemWithoutUpdates(at, s)
			p.sourcesWithoutSecurity(at, s)
		case aptStage:
			var suites []string
			for _, r := range repositories(s) {
				suites = append(suites, r.Suite)
			}
			if i, security := unsecured(suites); i >= 0 {
				p.atOption(at, s, []string{"repos", strconv.Itoa(i)},
					"\"repos\" takes the place of what org.osbuildkit.debootstrap installs from, and so of the security updates: add { \"suite\": %s }, or leave out \"repos\"", quote(security))
			}
			p.sourcesWithoutSecurity(at, s)
		}
	})
}

func (p *pass) systemWithoutUpdates(at *manifest.Pipeline, s *manifest.Stage) {
	r := repositories(s)[0]
	security := securitySuite(r.Suite)
	if security == "" {
		return
	}
	_, dated := debian.SnapshotTime(r.Mirror)
	switch {
	case r.Updates != nil && *r.Updates:
	case r.Updates != nil:
		p.atOption(at, s, []string{"updates"}, "the system has the packages of the last point release, whose holes are known: leave out \"updates\" to have those of %s", security)
	case r.Checksum != "" && r.Snapshot == "" && !dated && (r.Mirror != "" || !p.config.Dated):
		p.atOption(at, s, []string{"checksum"}, "\"checksum\" pins the suite %s alone, so the system has no security updates: add \"snapshot\": \"%s\", with the time of that state, to have those of %s",
			r.Suite, p.today(), security)
	}
}

// sourcesWithoutSecurity looks at the sources that a system is given.
func (p *pass) sourcesWithoutSecurity(at *manifest.Pipeline, s *manifest.Stage) {
	var o struct {
		Sources []json.RawMessage `json:"sources"`
	}
	decode(s, &o)
	var suites []string
	var items []int
	for i, raw := range o.Sources {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			continue
		}
		form := ".list"
		if trimmed := strings.TrimSpace(text); !strings.HasPrefix(trimmed, "deb") && !strings.HasPrefix(trimmed, "#") {
			form = ".sources"
		}
		entries, err := debian.ParseSources(form, []byte(text))
		if err != nil {
			continue
		}
		for _, e := range entries {
			for _, suite := range e.Suites {
				if e.Type == "deb" {
					suites, items = append(suites, suite), append(items, i)
				}
			}
		}
	}
	if i, security := unsecured(suites); i >= 0 {
		p.atOption(at, s, []string{"sources", strconv.Itoa(items[i])}, "the system will never hear of security updates: add a line for the suite %s, or leave out \"sources\"", security)
	}
}

package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// contents is what the manifest says of a tree that is built from nothing.
type contents struct {
	at *manifest.Pipeline
	// debian says that org.osbuildkit.debootstrap begins it, with this suite
	// and variant.
	debian         bool
	suite, variant string
	// packages are those that are asked for, by name. What they depend on is
	// not known.
	packages []string
	// more says that packages are installed which nobody has named: groups,
	// tasks, recommendations.
	more bool
	// open says that a stage may bring what no list of packages says: a script,
	// an archive, a module of one's own, a stored tree.
	open bool
}

// opening are built-in stages that bring files from elsewhere, or run what the
// manifest says.
var opening = []string{
	"org.osbuild.script", "org.osbuildkit.script", "org.osbuild.copy", "org.osbuild.rpm", "org.osbuild.ostree", "org.osbuild.rpm-ostree",
	"org.osbuild.first-boot", "org.osbuild.ignition", "org.osbuild.kickstart",
}

// packageName takes the architectures and the version from an item of a list.
func packageName(item string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(item), " ")
	name, _, _ = strings.Cut(name, "=")
	name, _, _ = strings.Cut(name, "/")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// contentsOf reads the stages of a pipeline.
func (p *pass) contentsOf(at *manifest.Pipeline) contents {
	c := contents{at: at}
	installs := false
	for i, s := range at.Stages {
		var o struct {
			Suite    string   `json:"suite"`
			Variant  string   `json:"variant"`
			Packages []string `json:"packages"`
			Weak     bool     `json:"install_recommends"`
			WeakDNF  *bool    `json:"install_weak_deps"`
		}
		switch s.Type {
		case debootstrapStage, aptStage, dnfStage, yumStage:
			decode(s, &o)
			installs = true
			c.more = c.more || o.Weak || (s.Type == dnfStage || s.Type == yumStage) && (o.WeakDNF == nil || *o.WeakDNF)
			for _, item := range o.Packages {
				name := packageName(item)
				c.packages = append(c.packages, name)
				c.more = c.more || strings.HasPrefix(name, "@") || strings.HasPrefix(name, "task-") || strings.HasSuffix(name, "-desktop") || strings.ContainsAny(name, "*^")
			}
		}
		if s.Type == debootstrapStage && i == 0 {
			c.debian, c.suite, c.variant = true, o.Suite, o.Variant
		}
		c.open = c.open || slices.Contains(opening, s.Type) && !writesText(s) || p.own(s)
	}
	c.open = c.open || !installs || len(at.Stages) > 0 && !c.debian && !slices.Contains([]string{dnfStage, yumStage}, at.Stages[0].Type)
	return c
}

// writesText reports whether a stage writes files whose content is in the manifest:
// they bring no program and no package.
func writesText(s *manifest.Stage) bool {
	var o struct {
		Source struct {
			Type string `json:"type"`
		} `json:"source"`
	}
	decode(s, &o)
	return o.Source.Type == "inline"
}

// own reports whether a stage is none of the built-in ones.
func (p *pass) own(s *manifest.Stage) bool {
	m := p.modules.Module(s.Kind, s.Type)
	return m == nil || m.Group == module.GroupPrograms
}

// has reports whether a package is asked for whose name matches.
func (c *contents) has(pattern *regexp.Regexp) bool {
	return slices.ContainsFunc(c.packages, pattern.MatchString)
}

// stage returns the last stage of the tree with a name, nil if there is none.
func (c *contents) stage(name string) *manifest.Stage {
	for _, s := range slices.Backward(c.at.Stages) {
		if s.Type == name {
			return s
		}
	}
	return nil
}

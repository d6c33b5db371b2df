package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// replaced are modules of osbuild's past and what to use today. Only what is
// here takes their place: a test builds what the rule recommends.
var replaced = map[module.Kind]map[string]string{
	module.Stage: {
		"org.osbuild.yum": "org.osbuild.dnf",
	},
	module.Assembler: {
		"org.osbuild.qcow2": `org.osbuild.qemu with "format": "qcow2"`,
	},
}

// oldSource is the name that org.osbuild.curl had first.
const oldSource = "org.osbuild.files"

func deprecatedModule(p *pass) {
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		if better := replaced[s.Kind][s.Type]; better != "" {
			p.atStage(at, s, "%s has been given up by osbuild: use %s", s.Type, better)
		}
	})
	for _, source := range p.m.Sources {
		if strings.HasSuffix(source.Pointer, "/"+oldSource) {
			p.atKey("", source.Pointer, "%s is the old name of %s: use that", oldSource, source.Type)
		}
	}
}

const (
	selinuxStage = "org.osbuild.selinux"
	noopStage    = "org.osbuild.noop"
	errorStage   = "org.osbuild.error"
)

func changeAfterLabelling(p *pass) {
	for _, at := range p.m.Pipelines {
		last := -1
		for i, s := range at.Stages {
			if s.Type == selinuxStage && labelsTree(s) {
				last = i
			}
		}
		if last < 0 {
			continue
		}
		for _, s := range at.Stages[last+1:] {
			// A labelling stage that is left is one of a mounted disk.
			if s.Type != noopStage && s.Type != errorStage && s.Type != selinuxStage {
				p.atStage(at, s, "the files that this stage writes get no label, because it comes after %s: move it before that", selinuxStage)
			}
		}
	}
}

// labelsTree reports whether a stage labels the tree, for good. A tree that is
// labelled again when it boots needs no labels now.
func labelsTree(s *manifest.Stage) bool {
	var o struct {
		Target string `json:"target"`
		Again  bool   `json:"force_autorelabel"`
	}
	decode(s, &o)
	return !o.Again && !strings.HasPrefix(o.Target, "mount:")
}

func unusedBuild(p *pass) {
	used := map[string]bool{}
	users := map[string]string{} // build root -> first pipeline that names it
	for _, q := range p.m.Pipelines {
		for _, s := range q.Stages {
			for _, in := range s.Inputs {
				for _, r := range in.References {
					if in.Origin == "org.osbuild.pipeline" {
						used[r.ID] = true
					}
				}
			}
			if q.Build != "" && p.needsBuildRoot(s) {
				used[q.Build] = true
			}
		}
		if q.Build != "" && users[q.Build] == "" {
			users[q.Build] = q.Name
		}
	}
	for _, q := range p.m.Pipelines {
		// A build environment of the command line is for many manifests.
		if user := users[q.Name]; user != "" && !used[q.Name] && q.Text.Index == p.m.Index {
			p.atKey(q.Name, q.Pointer, "no stage of the pipeline %s runs a program of this build root, so it is never built: remove it", quote(user))
		}
	}
}

// needsBuildRoot reports whether a stage may run a program of its build root.
// Only of those it knows can it say that they do not.
func (p *pass) needsBuildRoot(s *manifest.Stage) bool {
	if s.Type == debootstrapStage {
		return false
	}
	m := p.modules.Module(s.Kind, s.Type)
	return m == nil || m.Sandbox != module.Edit
}

// scriptStages run a text of the manifest as a program.
var scriptStages = []string{"org.osbuild.script", "org.osbuildkit.script"}

type scriptOptions struct {
	Script  string `json:"script"`
	Network bool   `json:"network"`
}

// scripts calls fn for each stage that runs a text of the manifest. The texts are
// most of a large manifest, so they are decoded once.
func (p *pass) scripts(fn func(at *manifest.Pipeline, s *manifest.Stage, o scriptOptions)) {
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		if !slices.Contains(scriptStages, s.Type) {
			return
		}
		o, known := p.scriptsOf[s]
		if !known {
			decode(s, &o)
			if p.scriptsOf == nil {
				p.scriptsOf = map[*manifest.Stage]scriptOptions{}
			}
			p.scriptsOf[s] = o
		}
		fn(at, s, o)
	})
}

func scriptWithNetwork(p *pass) {
	p.scripts(func(at *manifest.Pipeline, s *manifest.Stage, o scriptOptions) {
		if o.Network {
			p.atOption(at, s, []string{"network"}, "what the script fetches is neither pinned nor seen by the cache: fetch it as a source with a checksum")
		}
	})
}

// fetches are calls of programs that need the network, at the place of a
// command.
var fetches = regexp.MustCompile(`(?:^|[;&|({]|\b(?:sudo|then|do|else|exec))\s*` +
	`(curl|wget|git\s+(?:clone|fetch|pull)|pip3?\s+install|npm\s+(?:install|ci)|go\s+install|apt(?:-get)?\s+(?:-\S+\s+)*(?:update|install)|(?:dnf|yum)\s+(?:-\S+\s+)*(?:install|update|upgrade))(?:\s|$)`)

// fetching are the words of which every text that fetches matches has one. To look
// for them takes a hundredth of the time.
var fetching = []string{"curl", "wget", "git", "pip", "npm", "go", "apt", "dnf", "yum"}

func scriptNeedsNetwork(p *pass) {
	p.scripts(func(at *manifest.Pipeline, s *manifest.Stage, o scriptOptions) {
		if o.Network || !slices.ContainsFunc(fetching, func(word string) bool { return strings.Contains(o.Script, word) }) {
			return
		}
		for line := range strings.Lines(o.Script) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "#") {
				continue
			}
			if call := fetches.FindStringSubmatch(line); call != nil {
				p.atOption(at, s, []string{"script"}, "the script calls %s, and a step has no network: fetch what it needs as a source with a checksum",
					quote(strings.Join(strings.Fields(call[1]), " ")))
				return
			}
		}
	})
}

func moduleWithNetwork(p *pass) {
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		if m := p.modules.Module(s.Kind, s.Type); m != nil && m.Group == module.GroupPrograms && m.Network != nil && m.Network(s.Options) {
			p.atStage(at, s, "what %s fetches is neither pinned nor seen by the cache: put it into the directory %s.d beside the module", s.Type, s.Type)
		}
	})
}

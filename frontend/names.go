package frontend

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	imageref "github.com/distribution/reference"

	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// An option that names nothing changes nothing, which nobody who gives it wants.
// It is an error wherever the name can only have been meant for this build. Build
// arguments and named contexts that come by buildx are warned about instead: bake
// gives the same ones to all builds of a file, and each uses those that it knows.

// Modules finds the module of a stage; catalog.Catalog is one. It returns nil for
// one that is not known.
type Modules interface {
	Module(kind module.Kind, name string) *module.Module
}

// suggest says what may have been meant instead of a name.
func suggest(name string, known []string) string {
	if near := manifest.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "there are: " + strings.Join(known, ", ")
}

// CheckPipelines reports the names, as --no-cache takes them, that are those of
// no pipeline that a target is built from. The toolbox is one of them where it is
// the default build root and not replaced, and a stage may run its programs.
// Modules may be nil: any stage may then run programs.
func CheckPipelines(m *manifest.Manifest, modules Modules, target string, names []string, toolbox bool) error {
	var known, built []string
	for _, p := range m.Pipelines {
		known = append(known, p.Name)
	}
	uses := false
	for _, p := range needed(m, PipelineOf(target)) {
		built = append(built, p.Name)
		uses = uses || mayUseToolbox(p, modules)
	}
	if toolbox {
		known = append(known, graph.ToolboxPipeline)
		if uses {
			built = append(built, graph.ToolboxPipeline)
		}
	}
	var wrong []error
	for _, name := range names {
		is := func(other string) bool { return strings.EqualFold(name, other) }
		switch {
		case slices.ContainsFunc(built, is):
		case slices.ContainsFunc(known, is):
			wrong = append(wrong, fmt.Errorf("the target %q is not built from the pipeline %q, so no step of it runs; it is built from: %s",
				target, name, strings.Join(built, ", ")))
		default:
			wrong = append(wrong, fmt.Errorf("no pipeline %q in %s; %s", name, m.File, suggest(name, known)))
		}
	}
	return errors.Join(wrong...)
}

// mayUseToolbox reports whether a stage of a pipeline may run programs of the
// default build root.
func mayUseToolbox(p *manifest.Pipeline, modules Modules) bool {
	return p.Build == "" && slices.ContainsFunc(p.Stages, func(s *manifest.Stage) bool {
		if modules == nil {
			return true
		}
		m := modules.Module(s.Kind, s.Type)
		return m == nil || m.Sandbox != module.Edit && s.Type != packages.DebootstrapStage
	})
}

// buildkitArgs are the build arguments that BuildKit itself knows.
var buildkitArgs = []string{
	"BUILDKIT_SYNTAX", "BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM", "BUILDKIT_SANDBOX_HOSTNAME", "BUILDKIT_CACHE_MOUNT_NS",
	"BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_GIT_ADVICE", "BUILDKIT_DISABLE_FILEOP", checkArg, "BUILDKIT_DOCKERFILE_CHECK_EXPERIMENTAL",
	"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE",
}

// ownArgs are the build arguments that this frontend knows for every manifest.
var ownArgs = []string{MirrorArg, SnapshotArg, EpochArg}

// ArgNames returns the build arguments that have a meaning for every manifest: to
// this frontend, and to BuildKit.
func ArgNames() (own, buildkit []string) { return slices.Clone(ownArgs), slices.Clone(buildkitArgs) }

// ContextNames returns the named contexts that have a meaning. "sha256:HEX" stands
// for all checksums.
func ContextNames() []string { return slices.Clone(contextNames) }

// CheckArgs reports the build arguments, given for this manifest alone, that
// nobody knows: neither it, nor the frontend, nor BuildKit.
func CheckArgs(m *manifest.Manifest, given map[string]string) error {
	var wrong manifest.Errors
	add := func(u manifest.UndeclaredArg, text string) {
		message, hint, _ := strings.Cut(text, "; ")
		wrong = append(wrong, &manifest.Error{File: m.File, Position: u.Span.Start, Span: u.Span, Message: message, Hint: hint})
	}
	for _, u := range UndeclaredArgs(m) {
		add(u, u.Warning())
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if strings.HasPrefix(name, "BUILDKIT_") && !slices.Contains(buildkitArgs, name) {
			add(manifest.UndeclaredArg{Name: name, Span: m.ArgsPlace()}, fmt.Sprintf("BuildKit has no build argument %q; %s", name, suggest(name, buildkitArgs)))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return wrong
}

// contextNames are the named contexts that have a meaning.
var contextNames = []string{ToolboxContext, BuildEnvContext, BaseContext, KeysContext, LibdirContext, "sha256:HEX"}

var sumContext = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// CheckContexts returns, for each named context that is of no use to a manifest,
// a sentence that says so, in the order of the names.
func CheckContexts(m *manifest.Manifest, names []string) []string {
	var wrong []string
	for _, name := range names {
		name, _, _ = strings.Cut(name, "::") // the platform that it is for
		switch {
		case sumContext.MatchString(name):
		case strings.HasPrefix(strings.ToLower(name), "sha256:"):
			wrong = append(wrong, fmt.Sprintf("the named context %q is no checksum: write sha256: and 64 hex digits in lower case", name))
		case name == BaseContext && !baseUsed(m):
			wrong = append(wrong, fmt.Sprintf("the named context %q is not used: the manifest has no \"base\"", name))
		case !slices.Contains(contextNames, name):
			wrong = append(wrong, fmt.Sprintf("the named context %q has no meaning; %s", name, suggest(name, contextNames)))
		}
	}
	return wrong
}

// CheckSecrets reports ids of secrets that nothing in a manifest names. BuildKit
// itself knows credentials for what it downloads.
func CheckSecrets(m *manifest.Manifest, ids []string) error {
	var known []string
	for _, p := range m.Pipelines {
		for _, s := range p.Stages {
			for _, secret := range stageSecrets(s) {
				known = append(known, secret.Name)
			}
		}
	}
	for _, s := range sourceSecrets(m) {
		known = append(known, s.Name)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	var wrong []error
	for _, id := range ids {
		switch {
		case slices.Contains(known, id):
		case strings.HasPrefix(id, "GIT_AUTH_"), strings.HasPrefix(id, "HTTP_AUTH_"):
		case len(known) == 0:
			wrong = append(wrong, fmt.Errorf("%s names no secret, so %q is never read", m.File, id))
		default:
			wrong = append(wrong, fmt.Errorf("nothing in %s names the secret %q; %s", m.File, id, suggest(id, known)))
		}
	}
	return errors.Join(wrong...)
}

// JoinErrors joins errors; those about the manifest become one list of them. It
// returns nil if there are none.
func JoinErrors(all ...error) error {
	var places manifest.Errors
	var others []error
	for _, err := range all {
		var several manifest.Errors
		if errors.As(err, &several) {
			places = append(places, several...)
		} else if err != nil {
			others = append(others, err)
		}
	}
	if len(places) > 0 {
		others = append([]error{places}, others...)
	}
	if len(others) == 1 {
		return others[0]
	}
	return errors.Join(others...)
}

// checkNames reports, before anything is solved, options of the client that name
// nothing.
func (b *build) checkNames(target string) error {
	opts := b.client.BuildOpts().Opts
	if list := opts["no-cache"]; list != "" {
		replaced := b.buildEnvIsRoot || slices.ContainsFunc(b.givenContexts(), func(name string) bool {
			name, _, _ = strings.Cut(name, "::")
			return name == ToolboxContext
		})
		if err := CheckPipelines(b.m, b.catalog, target, strings.Split(list, ","), !replaced); err != nil {
			return fmt.Errorf("no-cache: %w", err)
		}
	}
	return nil
}

// givenContexts lists the named contexts of the client but for the one that the
// frontend's own image comes from.
func (b *build) givenContexts() []string {
	opts := b.client.BuildOpts().Opts
	var names []string
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		name, ok := strings.CutPrefix(key, contextKey(""))
		if ok && !sameImage(name, opts["source"]) && !sameImage(name, b.ui.BuildArgs["BUILDKIT_SYNTAX"]) {
			names = append(names, name)
		}
	}
	return names
}

// sameImage reports whether two names are those of one image.
func sameImage(a, b string) bool {
	x, errX := imageref.ParseNormalizedNamed(a)
	y, errY := imageref.ParseNormalizedNamed(b)
	return errX == nil && errY == nil && imageref.TagNameOnly(x).String() == imageref.TagNameOnly(y).String()
}

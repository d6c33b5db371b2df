package frontend

import (
	"context"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/linter"

	"github.com/osbuildkit/osbuildkit/lint"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// checkArg is the build argument that configures the checks of a build.
const checkArg = "BUILDKIT_DOCKERFILE_CHECK"

// LintConfig says which checks are left out, and what comes of a finding.
type LintConfig struct {
	lint.Config
	// Fail makes an error of a finding, and By names what has asked for that.
	Fail bool
	By   string
}

// lintConfig reads the configuration that the client gives, else that of the
// manifest, as BuildKit does with a Dockerfile. What the client leaves out may be
// rules of Dockerfiles: bake gives an argument to builds of both.
func (b *build) lintConfig(ctx context.Context) (LintConfig, error) {
	c, unknown, err := FindLintConfig(b.source.Filename, b.source.Data, b.ui.BuildArgs)
	if err != nil {
		return c, err
	}
	return c, b.useless(ctx, unknown)
}

// FindLintConfig returns the configuration that the build arguments have, else
// that of the manifest, and a sentence for each rule of the former that does not
// exist. What is wrong with the manifest's own is of type manifest.Errors.
func FindLintConfig(file string, data []byte, args map[string]string) (LintConfig, []string, error) {
	value, ok := args[checkArg]
	if !ok {
		c, err := readLintConfig(file, data)
		return c, nil, err
	}
	c, unknown, err := parseLintConfig(value, checkArg)
	if err != nil {
		return c, nil, fmt.Errorf("%s: %w", checkArg, err)
	}
	for i, text := range unknown {
		unknown[i] = checkArg + ": " + text
	}
	return c, unknown, nil
}

// readLintConfig returns the configuration that stands before the JSON of a
// manifest as "# check=…".
func readLintConfig(file string, data []byte) (LintConfig, error) {
	var c LintConfig
	for _, d := range manifest.Directives(data) {
		if d.Name != manifest.CheckDirective {
			continue
		}
		fail := func(text string) error {
			message, hint, _ := strings.Cut(text, "; ")
			return manifest.Errors{{File: file, Position: d.Span.Start, Span: d.Span, Message: message, Hint: hint}}
		}
		found, unknown, err := parseLintConfig(d.Value, "the line \"# check=\"")
		switch {
		case err != nil:
			return c, fail(err.Error())
		case len(unknown) > 0:
			return c, fail(unknown[0])
		case c.By != "":
			return c, fail("there is more than one line \"# check=\"; write it as one, such as # check=skip=A,B;error=true")
		}
		c = found
	}
	return c, nil
}

// parseLintConfig reads a configuration as BuildKit writes it, and returns a
// sentence for each rule in it that does not exist.
func parseLintConfig(value, by string) (LintConfig, []string, error) {
	given, err := linter.ParseLintOptions(value)
	if err != nil {
		return LintConfig{}, nil, fmt.Errorf("%w; write skip=RULE,… or error=true, or both with \";\" between them", err)
	}
	c := LintConfig{Config: lint.Config{Skip: given.SkipRules, SkipAll: given.SkipAll}, Fail: given.ReturnAsError, By: by}
	var unknown []string
	for _, name := range append(given.SkipRules, given.ExperimentalRules...) {
		if lint.Find(name) == nil {
			unknown = append(unknown, UnknownRule(name))
		}
	}
	return c, unknown, nil
}

// UnknownRule says that there is no rule with a name.
func UnknownRule(name string) string {
	var names []string
	for _, r := range lint.Rules() {
		names = append(names, r.Name)
	}
	if near := manifest.Nearest(name, names); near != "" {
		return fmt.Sprintf("no rule %q; did you mean %q?", name, near)
	}
	return fmt.Sprintf("no rule %q; 'osbuildkit check --rules' lists them", name)
}

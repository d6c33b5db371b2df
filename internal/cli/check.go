package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/lint"
	"github.com/osbuildkit/osbuildkit/manifest"
)

func (a *app) checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check MANIFEST|-",
		Short: "Check a manifest without building it",
		Args: func(cmd *cobra.Command, args []string) error {
			if f.rules {
				return exactArgs(0, "no MANIFEST with --rules")(cmd, args)
			}
			return exactArgs(1, "one MANIFEST, or - for standard input")(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if f.rules {
				return a.listRules(f.json)
			}
			return a.check(&f, args[0])
		},
	}
	f.add(cmd.Flags())
	addContextFlag(cmd.Flags(), &f.context)
	cmd.Flags().StringSliceVar(&f.skip, "skip", nil, "leave out the `RULES` with these names, or all")
	cmd.Flags().BoolVar(&f.fail, "error", false, "exit with 1 if there is a warning")
	cmd.Flags().BoolVar(&f.rules, "rules", false, "list the rules")
	addJSONFlag(cmd, &f.json)
	completeValues(cmd, "skip", ruleNames()...)
	return cmd
}

type checkFlags struct {
	manifestFlags
	skip        []string
	fail, rules bool
	json        bool
}

// check reports what is wrong with a manifest and what is worth a word.
func (a *app) check(f *checkFlags, name string) error {
	c, err := lintConfig(f.skip)
	if err != nil {
		return err
	}
	f.findLibdir(name)
	modules, err := a.readLibdir(f.libdir)
	if err != nil {
		return err
	}
	f.modules = modules
	s, err := a.readManifest(name, &f.manifestFlags)
	if err != nil {
		return err
	}
	args, err := f.arguments()
	if err != nil {
		return err
	}
	given, err := s.lintConfig(args)
	if err != nil {
		return err
	}
	c.Skip, c.SkipAll = append(c.Skip, given.Skip...), c.SkipAll || given.SkipAll
	c.Dated = frontend.DatedArgs(args)
	findings := lint.Run(s.m, modules, c)
	warnings := a.showFindings(findings, s)
	stages := 0
	for _, p := range s.m.Pipelines {
		stages += len(p.Stages)
	}
	if (f.fail || given.Fail) && len(findings) > 0 {
		err = &exitError{code: exitFailed, err: fmt.Errorf("%s: warnings are to be errors, and there are %d", s.name, len(findings)), quiet: true, places: warnings}
	}
	if f.json {
		if err != nil {
			return err
		}
		return a.printJSON(jsonCheck{
			Success: true, File: s.name, Format: string(s.m.Format), TreeID: s.m.TreeID(), OutputID: s.m.OutputID(),
			Pipelines: len(s.m.Pipelines), Stages: stages, Warnings: warnings,
		})
	}
	result := "valid"
	switch len(findings) {
	case 0:
	case 1:
		result += ", 1 warning"
	default:
		result += fmt.Sprintf(", %d warnings", len(findings))
	}
	fmt.Fprintf(a.stdout, "%s: format %s, %d pipelines, %d stages: %s\n", s.name, s.m.Format, len(s.m.Pipelines), stages, result)
	return err
}

// showFindings prints findings with the lines of the manifest that they are
// about, and returns the places.
func (a *app) showFindings(findings []lint.Finding, src *source) []jsonPlace {
	var places []jsonPlace
	for _, f := range findings {
		// The frontend knows the file by the last part of its name only.
		if bytes.Equal(f.Text.Data, src.data) {
			f.File = src.name
		}
		fmt.Fprintln(a.stderr, redact.Shown(f.String()))
		a.excerpt(f.Text.Data, f.Span)
		place := newPlace(f.File, f.Span, f.Pointer, f.Message)
		place.Rule, place.URL = f.Rule, f.URL
		place.clean()
		places = append(places, place)
	}
	return places
}

// lintConfig reads the value of --skip.
func lintConfig(skip []string) (lint.Config, error) {
	var c lint.Config
	for _, name := range skip {
		name = strings.TrimSpace(name)
		switch {
		case name == "all":
			c.SkipAll = true
		case lint.Find(name) != nil:
			c.Skip = append(c.Skip, name)
		default:
			hint := "'osbuildkit check --rules' lists them"
			if near := manifest.Nearest(name, ruleNames()); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return c, usageError("--skip: no rule %q; %s", name, hint)
		}
	}
	return c, nil
}

// ruleNames lists the rules.
func ruleNames() []string {
	var names []string
	for _, r := range lint.Rules() {
		names = append(names, r.Name)
	}
	return names
}

func (a *app) listRules(asJSON bool) error {
	if asJSON {
		rules := []jsonRule{}
		for _, r := range lint.Rules() {
			rules = append(rules, jsonRule{r.Name, r.Summary})
		}
		return a.printJSON(rules)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, r := range lint.Rules() {
		fmt.Fprintf(w, "%s\t%s\n", r.Name, r.Summary)
	}
	return w.Flush()
}

func (a *app) inspectCommand() *cobra.Command {
	f := manifestFlags{idsOnly: true}
	cmd := &cobra.Command{
		Use:   "inspect MANIFEST|-",
		Short: "Print the pipelines of a manifest with osbuild's ids",
		Args:  exactArgs(1, "one MANIFEST, or - for standard input"),
		RunE: func(_ *cobra.Command, args []string) error {
			f.findLibdir(args[0])
			s, err := a.readManifest(args[0], &f)
			if err != nil {
				return err
			}
			return a.inspect(s.m)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().Bool("json", false, "print a failure as JSON as well, as the result always is")
	return cmd
}

func (a *app) inspect(m *manifest.Manifest) error {
	type stage struct {
		Type    string          `json:"type"`
		ID      string          `json:"id"`
		Options json.RawMessage `json:"options"`
	}
	type pipeline struct {
		Name   string  `json:"name"`
		ID     string  `json:"id,omitempty"`
		Build  string  `json:"build,omitempty"`
		Runner string  `json:"runner,omitempty"`
		Base   string  `json:"base,omitempty"`
		Stages []stage `json:"stages"`
	}
	type arg struct {
		Name        string            `json:"name"`
		Type        string            `json:"type"`
		Default     json.RawMessage   `json:"default,omitempty"`
		Description string            `json:"description,omitempty"`
		Enum        []json.RawMessage `json:"enum,omitempty"`
		Pattern     string            `json:"pattern,omitempty"`
		Given       bool              `json:"given"`
		Value       json.RawMessage   `json:"value"`
		Uses        int               `json:"uses"`
	}
	out := struct {
		Name      string     `json:"name,omitempty"`
		Format    string     `json:"format"`
		TreeID    string     `json:"tree_id,omitempty"`
		OutputID  string     `json:"output_id,omitempty"`
		Args      []arg      `json:"args,omitempty"`
		Pipelines []pipeline `json:"pipelines"`
	}{m.Name, string(m.Format), m.TreeID(), m.OutputID(), nil, []pipeline{}}
	for _, a := range m.Args {
		out.Args = append(out.Args, arg{a.Name, string(a.Type), a.Default, a.Description, a.Enum, a.Pattern, a.Given, a.Value, a.Uses})
	}
	for _, p := range m.Pipelines {
		q := pipeline{Name: p.Name, ID: p.ID(), Build: p.Build, Runner: p.Runner, Base: p.Base, Stages: []stage{}}
		for _, s := range p.Stages {
			q.Stages = append(q.Stages, stage{s.Type, s.ID, s.Options})
		}
		out.Pipelines = append(out.Pipelines, q)
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/osbuildkit/osbuildkit/manifest"
)

func (a *app) checkCommand() *cobra.Command {
	var env string
	cmd := &cobra.Command{
		Use:   "check MANIFEST|-",
		Short: "Check a manifest without building it",
		Args:  exactArgs(1, "one MANIFEST, or - for standard input"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.readManifest(args[0], env)
			if err != nil {
				return err
			}
			for _, w := range lint(s.m) {
				fmt.Fprintf(a.stderr, "%s:%d:%d: warning: %s\n", w.file, w.at.Line, w.at.Column, w.text)
			}
			stages := 0
			for _, p := range s.m.Pipelines {
				stages += len(p.Stages)
			}
			fmt.Fprintf(a.stdout, "%s: format %s, %d pipelines, %d stages: valid\n", s.name, s.m.Format, len(s.m.Pipelines), stages)
			return nil
		},
	}
	cmd.Flags().StringVar(&env, "build-env", "", "`FILE` with the environment that the innermost build root is built in")
	return cmd
}

// warning is something that is valid and still worth a word.
type warning struct {
	file string
	at   manifest.Position
	text string
}

// lint looks for what makes a build hard to repeat.
func lint(m *manifest.Manifest) []warning {
	var out []warning
	add := func(p *manifest.Pipeline, pointer, text string) {
		span, _ := p.Text.Index.Value(pointer)
		out = append(out, warning{p.Text.File, span.Start, text})
	}
	const unpinned = "the repository is not pinned, so the result changes when it does: give the \"checksum\" of its InRelease file"
	for _, p := range m.Pipelines {
		for _, s := range p.Stages {
			var o struct {
				Checksum string                      `json:"checksum"`
				Repos    []struct{ Checksum string } `json:"repos"`
			}
			if json.Unmarshal(s.Options, &o) != nil {
				continue
			}
			if s.Type == "org.osbuildkit.debootstrap" && o.Checksum == "" {
				add(p, s.Pointer, unpinned)
			}
			for i, r := range o.Repos {
				if r.Checksum == "" && s.Type == "org.osbuildkit.apt" {
					add(p, fmt.Sprintf("%s/options/repos/%d", s.Pointer, i), unpinned)
				}
			}
		}
	}
	return out
}

func (a *app) inspectCommand() *cobra.Command {
	var env string
	cmd := &cobra.Command{
		Use:   "inspect MANIFEST|-",
		Short: "Print the pipelines of a manifest with osbuild's ids",
		Args:  exactArgs(1, "one MANIFEST, or - for standard input"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.readManifest(args[0], env)
			if err != nil {
				return err
			}
			return a.inspect(s.m)
		},
	}
	cmd.Flags().StringVar(&env, "build-env", "", "`FILE` with the environment that the innermost build root is built in")
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
	out := struct {
		Name      string     `json:"name,omitempty"`
		Format    string     `json:"format"`
		TreeID    string     `json:"tree_id,omitempty"`
		OutputID  string     `json:"output_id,omitempty"`
		Pipelines []pipeline `json:"pipelines"`
	}{m.Name, string(m.Format), m.TreeID(), m.OutputID(), []pipeline{}}
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

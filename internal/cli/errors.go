package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/solver/errdefs"

	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/redact"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// diagnosis is one thing that is wrong: what is shown of it, and the place that
// it is about.
type diagnosis struct {
	line string
	// data is the text of the file, nil where nothing is to be shown of it.
	data []byte
	span manifest.Span
	at   *jsonPlace // nil if it has no place
}

// showErrors prints an error with the lines of the manifest that it is about. It
// returns the places.
func (a *app) showErrors(err error, src *source) []jsonPlace {
	var places []jsonPlace
	var step *stepError
	var warned *frontend.LintError
	if errors.As(err, &warned) {
		places = a.showFindings(warned.Findings, src)
	}
	for _, d := range diagnose(err, src) {
		fmt.Fprintln(a.stderr, redact.Shown(d.line))
		if d.data != nil {
			a.excerpt(d.data, d.span)
		}
		if d.at != nil {
			places = append(places, *d.at)
		}
	}
	if errors.As(err, &step) && len(step.log) > 0 {
		fmt.Fprintln(a.stderr, "the end of its log:")
		for _, line := range step.log {
			fmt.Fprintf(a.stderr, "  | %s\n", strings.TrimSuffix(line, "\r"))
		}
	}
	return places
}

// diagnose finds the places that an error is about.
func diagnose(err error, src *source) []diagnosis {
	var several manifest.Errors
	var placed *graph.Error
	var step *stepError
	errors.As(err, &placed)
	errors.As(err, &step)
	switch p, pointer := failedStage(src.m, step, err); {
	case errors.As(err, &several):
		var out []diagnosis
		for _, e := range several {
			place := placeOf(e)
			d := diagnosis{line: e.Error(), span: e.Span, at: &place}
			if e.File == src.name {
				d.data = src.data
			}
			out = append(out, d)
		}
		return out
	case p != nil:
		// What failed may be an earlier stage than the one that was looked at.
		return []diagnosis{inPipeline(src, p, pointer, &stepError{name: step.name, log: step.log, err: cause(err, placed)})}
	case placed != nil:
		return []diagnosis{inPipeline(src, placed.Pipeline, placed.Pointer, fmt.Errorf("%s: %w", placed.What, placed.Err))}
	case step != nil:
		err = step
	}
	return []diagnosis{{line: fmt.Sprintf("osbuildkit: %v", err)}}
}

// cause is the error without the place that the graph has given it.
func cause(err error, placed *graph.Error) error {
	var step *stepError
	switch {
	case placed != nil:
		return placed.Err
	case errors.As(err, &step):
		return step.err
	}
	return err
}

// failedStage returns the stage of the step that has failed.
func failedStage(m *manifest.Manifest, step *stepError, err error) (*manifest.Pipeline, string) {
	if step == nil || m == nil {
		return nil, ""
	}
	p, s := stageOf(m, step.name)
	if s == nil {
		p, s = stageAt(m, err)
	}
	if s == nil {
		return nil, ""
	}
	return p, s.Pointer
}

// inPipeline is an error that belongs to a place in the manifest. The
// frontend knows the file by the last part of its name only; the user has
// typed all of it.
func inPipeline(src *source, p *manifest.Pipeline, pointer string, err error) diagnosis {
	file := p.Text.File
	if string(p.Text.Data) == string(src.data) {
		file = src.name
	}
	span, _ := p.Text.Index.Value(pointer)
	place := newPlace(file, span, pointer, err.Error())
	return diagnosis{
		line: fmt.Sprintf("%s:%d:%d: %v", file, span.Start.Line, span.Start.Column, err),
		data: p.Text.Data, span: firstLine(span), at: &place,
	}
}

// stageOf finds the stage that a step's name belongs to.
func stageOf(m *manifest.Manifest, name string) (*manifest.Pipeline, *manifest.Stage) {
	for _, p := range m.Pipelines {
		for i, s := range p.Stages {
			// A platform may stand before the pipeline.
			head, _, ok := strings.Cut(name, fmt.Sprintf("%s %d/%d] %s", p.Name, i+1, len(p.Stages), s.Type))
			if ok && strings.HasPrefix(head, "[") && (head == "[" || strings.HasSuffix(head, " ")) {
				return p, s
			}
		}
	}
	return nil, nil
}

// stageAt finds the stage that an operation without a stage in its name, such
// as a download, belongs to: the graph has given each its place in the text.
func stageAt(m *manifest.Manifest, err error) (*manifest.Pipeline, *manifest.Stage) {
	for _, at := range errdefs.Sources(err) {
		for _, r := range at.Ranges {
			for _, p := range m.Pipelines {
				for _, s := range p.Stages {
					span, ok := p.Text.Index.Value(s.Pointer)
					if ok && string(p.Text.Data) == string(at.Info.Data) && graph.Range(span).String() == r.String() {
						return p, s
					}
				}
			}
		}
	}
	return nil, nil
}

func firstLine(span manifest.Span) manifest.Span {
	if span.End.Line > span.Start.Line {
		span.End = manifest.Position{Line: span.Start.Line, Column: span.Start.Column + 1}
	}
	return span
}

package manifest

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDirectives(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"{}":                              nil,
		"#!/usr/bin/osbuildkit build\n{}": nil,
		"\ufeff#!/x\n\n// syntax=y\r\n  # CHECK = skip=all;error=true \n{\"a\": \"\\n# check=x\\n\"}": {
			`syntax="y" 3:1-3:12`, `check="skip=all;error=true" 4:3-4:32`,
		},
		"# syntax=x\nnot JSON": {`syntax="x" 1:1-1:11`},
	} {
		var got []string
		for _, d := range Directives([]byte(text)) {
			got = append(got, fmt.Sprintf("%s=%q %d:%d-%d:%d", d.Name, d.Value, d.Span.Start.Line, d.Span.Start.Column, d.Span.End.Line, d.Span.End.Column))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}

func FuzzDirectives(f *testing.F) {
	for _, seed := range []string{"{}", "# syntax=x\n{}", "\ufeff#!/x\n// check = skip=all\r\n\n{}", "#a=\n", "#a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		end := preamble(text)
		for _, d := range Directives([]byte(text)) {
			if d.start < 0 || d.start >= d.end || d.end > end || d.Name == "" {
				t.Errorf("%q: %+v, the directives end at %d", text, d, end)
			}
		}
	})
}

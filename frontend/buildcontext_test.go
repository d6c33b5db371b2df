package frontend

import (
	"errors"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/manifest"
)

const contextCopies = `{
  "build": {"stages": [{"name": "org.osbuild.copy", "options": {"source": {"type": "context", "path": "for-the-build"}, "paths": [{"to": "/x"}]}}]},
  "stages": [
    {"name": "org.osbuild.copy", "options": {"source": {"type": "context"}, "paths": [{"from": "/b/c"}, {"from": "/a"}]}},
    {"name": "org.osbuild.copy", "options": {"source": {"type": "context", "path": "b"}, "paths": [{"to": "/x"}]}}
  ]
}`

// The client is asked for what is copied and nothing else, and once.
func TestBuildContext(t *testing.T) {
	t.Parallel()
	f := newFake(contextCopies)
	if _, err := Build(t.Context(), f, config()); err != nil {
		t.Fatal(err)
	}
	sent := map[string]bool{}
	for _, def := range f.solved {
		for _, op := range def.Def {
			if text := string(op); strings.Contains(text, "local://context") && strings.Contains(text, "local.followpaths") && !strings.Contains(text, ".dockerignore") {
				sent[text] = true
				if !strings.Contains(text, `["a","b","for-the-build"]`) {
					t.Errorf("the client is asked for %q", text)
				}
			}
		}
	}
	if len(sent) != 1 {
		t.Errorf("%d sources of the context", len(sent))
	}
}

// What is missing is an error at its line before anything else is built.
func TestBuildContextMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, ignore, refused string
		missing               []string
		target                string
		want                  []string
	}{
		{name: "two", missing: []string{"b/c", "b"}, want: []string{`image.json:4:96: the context has no "b/c"`, `image.json:5:84: the context has no "b"`}},
		{name: "ignored", missing: []string{"a"}, ignore: "a\n", want: []string{`the context has no "a": its .dockerignore leaves it out`}},
		{name: "no context", refused: "context-files", want: []string{"no context to copy files from", "no context", "no context", "no context"}},
		{name: "of another pipeline", missing: []string{"a"}, target: "build"},
		{name: "of the target", missing: []string{"for-the-build"}, target: "build", want: []string{`image.json:2:103: the context has no "for-the-build"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(contextCopies)
			f.missing, f.ignore, f.refused = c.missing, c.ignore, c.refused
			if c.target != "" {
				f.opts["target"] = c.target
			}
			_, err := Build(t.Context(), f, config())
			var wrong manifest.Errors
			if len(c.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &wrong) || len(wrong) != len(c.want) {
				t.Fatalf("%v, want %d errors", err, len(c.want))
			}
			for i, want := range c.want {
				if !strings.Contains(wrong[i].Error(), want) {
					t.Errorf("%v, want %s", wrong[i], want)
				}
			}
			for _, def := range f.solved {
				if strings.Contains(definitionText(def), "osbuildkit-runner") {
					t.Error("a step was solved")
				}
			}
		})
	}
}

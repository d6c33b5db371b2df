package frontend

import (
	"errors"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/errdefs"

	rules "github.com/osbuildkit/osbuildkit/lint"
)

// open has two findings and builds without a repository.
const open = `{
"stages": [
  {"name": "org.osbuild.users", "options": {"users": {
    "a": {"password": ""}}}},
  {"name": "org.osbuild.systemd", "options": {"enabled_services": ["debug-shell"]}}]}`

func TestWarnings(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, check, want, unknown string
		lines                      []int32
	}{
		{name: "shown", lines: []int32{4, 5}},
		{name: "skipped", check: "skip=LoginWithoutPassword;error=true"},
		{name: "all skipped", check: "skip=all"},
		{name: "other rules skipped", check: "skip=JSONArgsRecommended,UnusedBuild", lines: []int32{4, 5},
			unknown: "BUILDKIT_DOCKERFILE_CHECK: no rule \"JSONArgsRecommended\"; 'osbuildkit check --rules' lists them"},
		{name: "errors", check: "error=true", lines: []int32{4, 5},
			want: "2 warnings, and BUILDKIT_DOCKERFILE_CHECK makes warnings errors: LoginWithoutPassword"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(open)
			if c.check != "" {
				f.opts["build-arg:BUILDKIT_DOCKERFILE_CHECK"] = c.check
			}
			before := len(f.solved)
			_, err := Build(t.Context(), f, config())
			var got string
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if c.unknown != "" {
				if len(f.warned) == 0 || f.warned[0].text != c.unknown {
					t.Fatalf("warnings %+v, want %q first", f.warned, c.unknown)
				}
				f.warned = f.warned[1:]
			}
			if len(f.warned) != len(c.lines) {
				t.Fatalf("warnings %+v", f.warned)
			}
			rule := rules.Find("LoginWithoutPassword")
			for i, w := range f.warned {
				if w.Range[0].Start.Line != c.lines[i] || w.URL != rule.URL() || string(w.Detail[0]) != rule.Summary || string(w.SourceInfo.Data) != open {
					t.Errorf("%+v", w)
				}
				if !strings.HasPrefix(w.text, "LoginWithoutPassword: anyone") || !strings.HasSuffix(w.text, ")") {
					t.Errorf("%q", w.text)
				}
			}
			if c.want == "" {
				return
			}
			var warned *LintError
			if !errors.As(err, &warned) || len(warned.Findings) != 2 || len(errdefs.Sources(err)) != 2 {
				t.Errorf("%#v", err)
			}
			if len(f.solved) > before+2 {
				t.Errorf("%d things were solved although the build failed", len(f.solved))
			}
		})
	}
	f := newFake(open)
	f.opts["build-arg:BUILDKIT_DOCKERFILE_CHECK"] = "nonsense"
	if _, err := Build(t.Context(), f, config()); err == nil || !strings.Contains(err.Error(), "BUILDKIT_DOCKERFILE_CHECK") {
		t.Errorf("%v", err)
	}
}

// Each warning carries the manifest; many of a large one do not.
func TestManyWarnings(t *testing.T) {
	t.Parallel()
	stage := `{"name": "org.osbuild.systemd", "options": {"enabled_services": ["debug-shell"]}}`
	text := `{"stages": [` + strings.Repeat(stage+",", 40) + strings.Repeat(" ", 1<<20) + stage + `]}`
	f := newFake(text)
	f.opts["build-arg:BUILDKIT_DOCKERFILE_CHECK"] = "error=true"
	_, err := Build(t.Context(), f, config())
	if err == nil || len(errdefs.Sources(err)) != maxErrorSources {
		t.Errorf("%d places", len(errdefs.Sources(err)))
	}
	sent := 0
	for _, w := range f.warned {
		sent += len(w.SourceInfo.Data)
		if w.SourceInfo.Filename != "image.json" {
			t.Errorf("file %q", w.SourceInfo.Filename)
		}
	}
	if len(f.warned) != 41 || sent > maxWarningData || sent < maxWarningData/2 {
		t.Errorf("%d warnings with %d bytes", len(f.warned), sent)
	}
}

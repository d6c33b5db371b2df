package stages

import (
	"errors"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
)

func TestError(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]module.ExitCode{
		`{}`: 255, `{"returncode": 1}`: 1, `{"returncode": "7"}`: 7, `{"returncode": 255.0}`: 255,
	} {
		dir := treetest.New(t, treetest.Tree{"etc/x": treetest.File("x")})
		before := treetest.Read(t, dir)
		_, err := runStage(t, "org.osbuild.error", dir, options)
		var code module.ExitCode
		if !errors.As(err, &code) || code != want {
			t.Errorf("%s: error %v, want exit code %d", options, err, want)
		}
		if diff := treetest.Unchanged(before, treetest.Read(t, dir)); diff != "" {
			t.Errorf("%s: the tree has changed (-want +got):\n%s", options, diff)
		}
	}
	if log, err := runStage(t, "org.osbuild.error", t.TempDir(), `{"returncode": 0}`); err != nil || log != "failing on purpose with exit code 0\n" {
		t.Errorf("exit code 0: error %v, log %q", err, log)
	}
}

func TestErrorCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.error", []checkCase{
		{`{}`, nil},
		{`{"returncode": 255}`, nil},
		{`{"returncode": 256}`, []string{"/returncode: not an exit code"}},
		{`{"returncode": -1}`, []string{": negative"}},
		{`{"code": 1}`, []string{`: "code"`}},
	})
}

//go:build e2e

package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asked is a manifest with one finding, in line 4.
const asked = `{
"syntax": "` + frontendName + `",
"stages": [
{"name": "org.osbuildkit.apt", "options": {"packages": ["nginx"], "auth": "token", "repos": [
{"suite": "sid"}]}}],
"assembler": {"name": "org.osbuild.noop"}}
`

// call runs buildx build on a manifest and returns what it prints and its exit
// code.
func call(t *testing.T, text string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "image.json")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	all := append([]string{"build", "--builder", frontend.daemon.name, "--progress", "plain"}, withFrontend()...)
	cmd := buildxCommand(append(append(all, args...), "-f", file, dir)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	// The exit code is looked at; that buildx cannot be run shows as -1.
	_ = cmd.Run() //nolint:errcheck // see above
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestFrontendRequests asks the frontend image what buildx can ask.
func TestFrontendRequests(t *testing.T) {
	needFrontend(t)
	const clean = `{"syntax": "` + frontendName + `", "stages": [{"name": "org.osbuild.noop"}]}`
	for _, c := range []struct {
		name, text string
		args       []string
		code       int
		want       []string // on standard output, or for a failure on either
		never      string
	}{
		{name: "describe", args: []string{"--call", "subrequests.describe"}, want: []string{"outline", "targets", "lint", "convertllb", "subrequests.describe"}},
		{name: "outline", args: []string{"--call", "outline"}, want: []string{"SOURCE_DATE_EPOCH", "OSBUILDKIT_MIRROR", "OSBUILDKIT_SNAPSHOT", "token"}},
		{name: "targets", args: []string{"--call", "targets"}, want: []string{"tree", "assembler (default)", "containerdisk"}},
		{name: "check", args: []string{"--check"}, code: 1,
			want: []string{"1 warning has been found", "WARNING: UnpinnedRepository - https://github.com/osbuildkit/osbuildkit/blob/main/docs/lint/UnpinnedRepository.md",
				"image.json:5", "   5 | >>> {\"suite\": \"sid\"}]}}],"}},
		{name: "check skipped", args: []string{"--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=UnpinnedRepository"}, want: []string{"no warnings found"}},
		{name: "check clean", text: clean, args: []string{"--check"}, want: []string{"no warnings found"}},
		{name: "check invalid", text: strings.Replace(clean, "noop", "nop", 1), args: []string{"--check"}, code: 1,
			want: []string{`unknown stage "org.osbuild.nop"`, `did you mean "org.osbuild.noop"?`, "   1 | >>> "}},
		{name: "outline invalid", text: strings.Replace(clean, "noop", "nop", 1), args: []string{"--call", "outline"}, code: 1,
			want: []string{`unknown stage "org.osbuild.nop"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := c.text
			if text == "" {
				text = asked
			}
			stdout, stderr, code := call(t, text, c.args...)
			if c.code != 0 {
				stdout += stderr
			}
			if code != c.code {
				t.Errorf("exit code %d: %s%s", code, stdout, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is not in:\n%s\n%s", want, stdout, stderr)
				}
			}
		})
	}
	t.Run("convertllb", func(t *testing.T) {
		stdout, stderr, code := call(t, clean, "--call", "convertllb,format=json")
		var graph struct {
			Def map[string]any `json:"def"`
		}
		if err := json.Unmarshal([]byte(stdout), &graph); err != nil || code != 0 || len(graph.Def) < 2 {
			t.Errorf("%v, exit code %d, %d operations: %s", err, code, len(graph.Def), stderr)
		}
	})
}

// TestFrontendWarnings looks at what a build shows of the rules, through buildx
// and by the command line.
func TestFrontendWarnings(t *testing.T) {
	needFrontend(t)
	const rule = "UnusedBuild"
	const text = `{"syntax": "` + frontendName + `",
"build": {"stages": [{"name": "org.osbuild.noop"}]},
"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}]}`
	file, out := filepath.Join(t.TempDir(), "image.json"), t.TempDir()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		arg   string
		warns bool
		code  int
	}{{"", true, 0}, {"skip=" + rule, false, 0}, {"error=true", true, 1}, {"skip=all;error=true", false, 0}} {
		var args []string
		if c.arg != "" {
			args = append(args, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK="+c.arg)
		}
		_, stderr, code := call(t, text, append(args, "-o", tarOf(filepath.Join(out, "tree.tar")))...)
		if strings.Contains(stderr, rule) != c.warns || code != c.code {
			t.Errorf("buildx, %q: exit code %d\n%s", c.arg, code, stderr)
		}
		p := startBuild(t, append(args, "-o", out, file)...).wait()
		if strings.Contains(p.text(), rule) != c.warns || p.code() != c.code {
			t.Errorf("osbuildkit, %q: exit code %d\n%s", c.arg, p.code(), p.text())
		}
		if c.code != 0 && !strings.Contains(p.text(), file+":2:1: warning: "+rule+": no stage") {
			t.Errorf("osbuildkit, %q: no place\n%s", c.arg, p.text())
		}
	}
}

//go:build e2e

package test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/client"
)

// scripted runs the command line as a script does and returns its streams.
func scripted(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(shared.program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code tells
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestScripts shows what scripts rely on, with real builds in the embedded engine.
func TestScripts(t *testing.T) {
	need(t)
	failing := textFile(t, "failing.json", "{\"stages\": [{\"name\": \"org.osbuild.hostname\", \"options\": {\"hostname\": \"a\"}},\n"+
		"  {\"name\": \"org.osbuild.error\", \"options\": {\"returncode\": 7}}]}\n")
	type result struct {
		Success bool
		Error   *struct {
			ExitCode int `json:"exit_code"`
			Step     string
			Log      []string
			Places   []struct {
				File, Pointer string
				Line, Column  int
			}
		}
	}
	stdout, stderr, code := scripted(t, buildArgs("--json", failing)...)
	var got result
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 1 || got.Error == nil || got.Error.ExitCode != 1 || len(got.Error.Places) != 1 || len(got.Error.Log) == 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, stdout)
	}
	if p := got.Error.Places[0]; p.File != failing || p.Line != 2 || p.Column != 3 || p.Pointer != "/stages/1" || got.Error.Step != "[tree 2/2] org.osbuild.error" {
		t.Errorf("%+v", got.Error)
	}
	for line := range strings.Lines(stderr) {
		var s client.SolveStatus
		if err := json.Unmarshal([]byte(line), &s); err != nil || len(s.Vertexes)+len(s.Statuses)+len(s.Logs)+len(s.Warnings) == 0 {
			t.Errorf("beside the progress: %q, %v", line, err)
		}
	}
	// A manifest is a program, and a whole build's stream has nothing else.
	program := filepath.Join(t.TempDir(), "image")
	text := "#!/usr/bin/env osbuildkit\n{\"stages\": [{\"name\": \"org.osbuild.hostname\", \"options\": {\"hostname\": \"a\"}}]}\n"
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	stdout, stderr, code = scripted(t, append([]string{program}, buildArgs("-o", out)[1:]...)...)
	if code != 0 || !strings.HasPrefix(stdout, "tree id: ") || len(files(t, out)) != 1 {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	for line := range strings.Lines(stderr) {
		if !json.Valid([]byte(line)) {
			t.Errorf("beside the progress: %q", line)
		}
	}
	for _, args := range [][]string{{"du", "--json", "--store", shared.store}, {"stages", "--json"}} {
		if stdout, stderr, code := scripted(t, args...); code != 0 || !json.Valid([]byte(stdout)) || stderr != "" {
			t.Errorf("%v: exit code %d, %.200s, %s", args, code, stdout, stderr)
		}
	}
	// What BuildKit logs at the end of a failed build is not for people.
	stdout, stderr, code = scripted(t, "build", "--store", shared.store, "--progress", "quiet", "--cache-to", "type=registry,ref=127.0.0.1:1/x", "-o", out, program)
	if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "osbuildkit: ") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

// TestTerminated ends a build with SIGTERM.
func TestTerminated(t *testing.T) {
	need(t)
	file := textFile(t, "slow.json", `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "`+suite+`"}}, {"name": "org.osbuild.script", "options": {"script": "sleep 60"}}]}`)
	p := startBuild(t, "--json", "-o", t.TempDir(), file)
	p.await(t, "the script", p.started("[tree 2/2]"))
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if p.wait(); p.code() != 143 || !strings.Contains(p.stdout.String(), `"exit_code":143`) {
		t.Errorf("exit code %d, %s", p.code(), p.stdout.String())
	}
}

// TestFrontendReserved shows that buildx refuses, before anything is built, what
// would be overwritten, and platforms that no image is for.
func TestFrontendReserved(t *testing.T) {
	needFrontend(t)
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"packages.json", nil, []string{"image.json:4:16: ", `"packages.json" is a name that the build itself writes, for the list of the tree's packages: choose another file name`}},
		{"Provenance.JSON", nil, []string{`"Provenance.JSON" is a name that the build itself writes, for the provenance`}},
		{"good.tar", []string{"--platform", "windows/amd64"}, []string{"no image can be built for the platform windows/amd64: osbuildkit builds Linux systems; write linux/amd64"}},
	} {
		dir := t.TempDir()
		text := "{\"syntax\": \"" + frontendName + "\",\n \"stages\": [{\"name\": \"org.osbuild.hostname\", \"options\": {\"hostname\": \"a\"}}],\n" +
			" \"assembler\": {\"name\": \"org.osbuild.tar\", \"options\":\n  {\"filename\": \"" + c.name + "\"}}}\n"
		if err := os.WriteFile(filepath.Join(dir, "image.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "out")
		p := startBuildx(t, frontend.daemon, append(c.args, "-o", out, "-f", filepath.Join(dir, "image.json"), dir)...).wait()
		for _, want := range c.want {
			if p.code() == 0 || !strings.Contains(p.text(), want) {
				t.Errorf("%s %v: exit code %d, want %q in %s", c.name, c.args, p.code(), want, p.text())
			}
		}
		if ran := p.ran(); len(ran) > 0 || len(files(t, out)) > 0 {
			t.Errorf("%s: steps %q ran, and there is %q", c.name, ran, files(t, out))
		}
	}
}

//go:build e2e

package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFrontendErrors shows what a user of buildx sees when something is wrong.
func TestFrontendErrors(t *testing.T) {
	needFrontend(t)
	refusing := filepath.Join(t.TempDir(), "buildkitd.toml")
	if err := os.WriteFile(refusing, []byte("[frontend.\"gateway.v0\"]\n  enabled = false\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		args       []string
		want       []string
		config     string
	}{
		{
			name: "manifest",
			text: "{\n \"syntax\": \"" + frontendName + "\",\n \"stages\": [\n  {\"name\": \"org.osbuild.hostnam\"}\n ]\n}\n",
			want: []string{
				"image.json:4",
				`   4 | >>>   {"name": "org.osbuild.hostnam"}`,
				`image.json:4:12: unknown stage "org.osbuild.hostnam" (at /stages/0/name); did you mean "org.osbuild.hostname"?`,
			},
		},
		{
			name: "step",
			text: "{\n \"syntax\": \"" + frontendName + "\",\n \"stages\": [\n  {\"name\": \"org.osbuild.noop\"},\n  {\"name\": \"org.osbuild.systemd\", \"options\": {\"enabled_services\": [\"nothing\"]}}\n ]\n}\n",
			want: []string{
				"[tree 2/2] org.osbuild.systemd",
				"image.json:5",
				`   5 | >>>   {"name": "org.osbuild.systemd"`,
				"nothing.service",
			},
		},
		{
			name: "target",
			text: `{"syntax": "` + frontendName + `", "stages": [{"name": "org.osbuild.noop"}]}`,
			args: []string{"--target", "tre"},
			want: []string{`no target "tre" in image.json; did you mean "tree"?`},
		},
		{
			name: "unreachable registry",
			text: `{"syntax": "127.0.0.1:9/osbuildkit/frontend:1", "stages": []}`,
			want: []string{"127.0.0.1:9/osbuildkit/frontend:1", "connection refused"},
		},
		{
			name:   "daemon without frontends",
			text:   `{"syntax": "` + frontendName + `", "stages": []}`,
			config: refusing,
			want:   []string{"gateway.v0"},
		},
		{
			name: "container disk",
			text: `{"syntax": "` + frontendName + `", "stages": [{"name": "org.osbuild.noop"}], "assembler": {"name": "org.osbuild.noop"}}`,
			args: []string{"--target", "containerdisk"},
			want: []string{"a container disk holds one disk, a qcow2 or raw file"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "image.json")
			if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			d := frontend.daemon
			if c.config != "" {
				d = newDaemon(t, "refusing", "--config", c.config)
			}
			out := filepath.Join(t.TempDir(), "out")
			all := append([]string{"build", "--builder", d.name, "--progress", "plain", "-o", out}, withFrontend()...)
			got, err := buildxCommand(append(append(all, c.args...), "-f", file, dir)...).CombinedOutput()
			if err == nil {
				t.Fatal("the build succeeds")
			}
			for _, want := range c.want {
				if !strings.Contains(string(got), want) {
					t.Errorf("the output lacks %q:\n%s", want, got)
				}
			}
			if len(files(t, out)) > 0 {
				t.Errorf("there is output: %q", files(t, out))
			}
		})
	}
}

//go:build e2e

package test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/ociindex"
)

// edit is a manifest that needs no packages: its one stage edits a file.
func edit(hostname string) object {
	return object{"stages": []any{stage("org.osbuild.hostname", object{"hostname": hostname})}}
}

// TestFrontendWaysIn reaches the frontend in every way that there is.
func TestFrontendWaysIn(t *testing.T) {
	needFrontend(t)
	pristine := `{"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "HOST"}}]}`
	keyed := strings.Replace(pristine, "{", `{"syntax": "`+frontendName+`", "$schema": "https://example.com/s.json", `, 1)
	for _, c := range []struct {
		name, text string
		file       string
		args       []string
		stdin      bool
	}{
		{name: "key", text: keyed},
		{name: "key-other-name", text: keyed, file: "Containerfile"},
		{name: "build-arg", text: pristine, args: []string{"--build-arg", "BUILDKIT_SYNTAX=" + frontendName}},
		{name: "slashes", text: "// syntax=" + frontendName + "\n" + pristine},
		{name: "hash", text: "# syntax=" + frontendName + "\n" + pristine},
		{name: "byte-order-mark", text: "\ufeff" + keyed},
		{name: "stdin", text: keyed, stdin: true},
		{name: "registry", text: strings.Replace(pristine, "{", `{"syntax": "`+frontend.registry+`/osbuildkit/frontend:1", `, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, out := t.TempDir(), filepath.Join(t.TempDir(), "tree.tar")
			text := strings.ReplaceAll(c.text, "HOST", c.name)
			args := append([]string{"-o", tarOf(out)}, c.args...)
			file := c.file
			if file == "" {
				file = "image.json"
			}
			file = filepath.Join(dir, file)
			if c.stdin {
				file = "-"
			} else if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			all := append([]string{"build", "--builder", frontend.daemon.name}, withFrontend()...)
			cmd := buildxCommand(append(append(all, args...), "-f", file, dir)...)
			if c.stdin {
				cmd.Stdin = strings.NewReader(text)
			}
			if got, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, got)
			}
			wantHostname(t, out, c.name)
		})
	}
	t.Run("git", testGitContext)
	t.Run("buildctl", testBuildctl)
}

// wantHostname checks the file of a tree archive that the stage has written.
func wantHostname(t *testing.T, archive, hostname string) {
	t.Helper()
	if got := string(readTree(t, archive, nil)["etc/hostname"].Data); got != hostname+"\n" {
		t.Errorf("/etc/hostname is %q, want %q", got, hostname)
	}
}

// testGitContext builds a manifest out of a Git repository, at the time of its
// last commit.
func testGitContext(t *testing.T) {
	dir := buildDir(t, syntax(edit("from-git")))
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_COMMITTER_DATE=2024-05-06T07:08:09Z", "GIT_AUTHOR_DATE=2024-05-06T07:08:09Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "a")
	git("update-server-info")
	server := httptest.NewServer(http.StripPrefix("/image.git", http.FileServer(http.Dir(filepath.Join(dir, ".git")))))
	defer server.Close()
	out := filepath.Join(t.TempDir(), "tree.tar")
	buildxBuild(t, frontend.daemon, "-o", tarOf(out), "--build-arg", "SOURCE_DATE_EPOCH=context", "-f", "image.json", server.URL+"/image.git#main")
	wantHostname(t, out, "from-git")
	if got := readTree(t, out, nil)["etc/hostname"].ModTime.Unix(); got != 1714979289 {
		t.Errorf("the file has the time %d and not that of the commit", got)
	}
}

// testBuildctl uses no buildx: BuildKit's own client and the gateway.
func testBuildctl(t *testing.T) {
	desc, err := ociindex.NewStoreIndex(frontend.layout).GetSingle()
	if err != nil || desc == nil {
		t.Fatal(desc, err)
	}
	dir, out := buildDir(t, edit("buildctl")), filepath.Join(t.TempDir(), "tree.tar")
	output(t, buildctlProgram, "--addr", frontend.daemon.address, "build", "--frontend", "gateway.v0",
		"--opt", "source="+frontendName, "--opt", "filename=image.json",
		"--opt", "context:"+frontendName+"=oci-layout://layout@"+desc.Digest.String(), "--oci-layout", "layout="+frontend.layout,
		"--local", "context="+dir, "--local", "dockerfile="+dir, "--output", tarOf(out))
	wantHostname(t, out, "buildctl")
}

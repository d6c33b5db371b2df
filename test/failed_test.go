//go:build e2e

package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// failedCase is a step that fails, what is typed into its shell, and what comes of
// it.
type failedCase struct {
	name     string
	manifest object
	input    string
	stdout   string
	// stderr are parts of it; kept are files of the tree with their content.
	stderr []string
	kept   map[string]string
}

// The manifests share the steps that make a small Debian.
func failedCases() []failedCase {
	base := stage("org.osbuildkit.debootstrap", object{"suite": "trixie"})
	const typed = "cat etc/hostname 2>/dev/null; "
	return []failedCase{
		{
			name:     "a step inside the tree",
			manifest: object{"stages": []any{base, stage("org.osbuild.script", object{"script": "#!/bin/sh\necho made > /etc/made\nexit 7\n"})}},
			input:    "pwd\ncat /etc/made\necho changed > /etc/made\ntest -e /run/osbuild/step.json && echo described\nexit 3\n",
			stdout:   "/\nmade\ndescribed\n",
			stderr:   []string{"org.osbuild.script failed: exit code: 7", "/ is the tree", "module org.osbuild.script --kind stage --step /run/osbuild/step.json"},
			kept:     map[string]string{"etc/made": "made\n"},
		},
		{
			name: "a step that edits the tree",
			manifest: object{"stages": []any{base, stage("org.osbuild.hostname", object{"hostname": "failing"}),
				stage("org.osbuild.users", object{"users": object{"a": object{"groups": []string{"nosuch"}}}})}},
			input:  typed + "pwd; ls -d /run/osbuild/tree/etc/passwd\n/run/osbuild/bin/osbuildkit-runner module org.osbuild.users --kind stage --step /run/osbuild/step.json\n",
			stdout: "failing\n/\n/run/osbuild/tree/etc/passwd\n",
			stderr: []string{"org.osbuild.users failed: exit code: 1", "/ is the tree", "org.osbuild.users: user a: there is no group \"nosuch\""},
			kept:   map[string]string{"etc/hostname": "failing\n"},
		},
		{
			name: "an assembler",
			manifest: object{
				"build":  object{"stages": []any{base}},
				"stages": []any{base, stage("org.osbuild.hostname", object{"hostname": "failing"})},
				"assembler": stage("org.osbuild.qemu", object{"format": "raw", "filename": "disk.raw", "size": 32 << 20, "ptuuid": "0x7e83a7ba",
					"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac"}),
			},
			input:  typed + "pwd; ls -d /run/osbuild/output; touch /run/osbuild/tree/x 2>/dev/null || echo read-only\n",
			stdout: "failing\n/run/osbuild/tree\n/run/osbuild/output\nread-only\n",
			stderr: []string{"org.osbuild.qemu failed: exit code: 1", "the tree is /run/osbuild/tree"},
			kept:   map[string]string{"etc/hostname": "failing\n"},
		},
		{
			name:     "a tree without a shell",
			manifest: object{"stages": []any{stage("org.osbuild.hostname", object{"hostname": "failing"}), stage("org.osbuild.error", object{"returncode": 5})}},
			input:    "echo never\n",
			stderr:   []string{"org.osbuild.error failed: exit code: 5", "osbuildkit: --debug: no shell: the tree has no /bin/sh"},
			kept:     map[string]string{"etc/hostname": "failing\n"},
		},
	}
}

// TestFailedSteps looks at steps that fail: through a shell, whose commands come
// from standard input, and at the tree that is kept. The build has failed whatever
// the shell ends with.
func TestFailedSteps(t *testing.T) {
	need(t)
	for _, c := range failedCases() {
		t.Run(c.name, func(t *testing.T) { c.check(t) })
	}
}

// TestFailedStepElsewhere does the same on a builder that the client only talks to.
func TestFailedStepElsewhere(t *testing.T) {
	needFrontend(t)
	failedCases()[1].check(t, "--builder", frontend.daemon.address)
}

func (c *failedCase) check(t *testing.T, args ...string) {
	t.Helper()
	file, kept := manifestFile(t, "failing.json", c.manifest), t.TempDir()
	var stdout, stderr bytes.Buffer
	args = append([]string{"build", "--store", shared.store, "--mirror", shared.mirror.URL(), "--progress", "plain", "-o", t.TempDir(),
		"--debug", "--keep-failed", kept}, append(args, file)...)
	cmd := exec.Command(shared.program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.input), &stdout, &stderr
	_ = cmd.Run() // the exit code tells
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if stdout.String() != c.stdout {
		t.Errorf("the shell wrote %q, not %q", stdout.String(), c.stdout)
	}
	archive := filepath.Join(kept, "tree.tar")
	for _, want := range append(c.stderr, "the tree as the failed step left it: "+archive) {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("not on standard error: %s\n%s", want, stderr.String())
		}
	}
	if n := strings.Count(stderr.String(), "failing.json:"); n != 1 {
		t.Errorf("the error is shown %d times:\n%s", n, stderr.String())
	}
	if st, err := os.Stat(archive); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st, err)
	}
	tree := readTree(t, archive, nil)
	for name, want := range c.kept {
		if got := string(tree[name].Data); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestFailedDownload: what fails before a step has nothing to look at, and says so.
func TestFailedDownload(t *testing.T) {
	need(t)
	const sum = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
	file := manifestFile(t, "failing.json", object{"pipeline": object{"stages": []any{
		stage("org.osbuild.copy", object{"source": object{"type": "archive", "checksum": sum}}),
	}}, "sources": object{"org.osbuild.curl": object{"urls": object{sum: shared.mirror.URL() + "/nothing"}}}})
	cmd := exec.Command(shared.program, "build", "--store", shared.store, "--progress", "plain", "-o", t.TempDir(), "--debug", file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	_ = cmd.Run() // the exit code tells
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "there is no tree to look at") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

package stages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestTest(t *testing.T) {
	t.Parallel()
	const unit = "etc/systemd/system/osbuild-test.service"
	const wants = "etc/systemd/system/multi-user.target.wants/osbuild-test.service"
	text := strings.Replace(testUnit, "SCRIPT", "/usr/bin/true", 1)
	link := treetest.Link("../osbuild-test.service")
	runCases(t, "org.osbuild.test", []treeCase{
		{name: "new", options: `{"script": "/usr/bin/true"}`, after: treetest.Tree{unit: treetest.File(text), wants: link}},
		{name: "again", before: treetest.Tree{unit: treetest.File("old"), wants: link},
			options: `{"script": "/usr/bin/true"}`, after: treetest.Tree{unit: treetest.File(text)}},
		{name: "two lines", options: `{"script": "a\nb"}`, err: "more than one line"},
		{name: "empty", options: `{"script": " "}`, err: "empty"},
		{name: "backslash", options: `{"script": "a \\"}`, err: "backslash"},
		{name: "in the way", before: treetest.Tree{unit: treetest.Dir(0o755)}, options: `{"script": "a"}`, err: "not a regular file"},
	})
}

func TestTestUnitIsValid(t *testing.T) {
	t.Parallel()
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "osbuild-test.service")
	text := strings.Replace(testUnit, "SCRIPT", "/bin/sh -c true", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(verify, "verify", "--man=no", "--recursive-errors=no", file).CombinedOutput()
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "osbuild-test.service:") && !strings.Contains(line, "not found") && !strings.Contains(line, "not executable") {
			t.Error(line)
		}
	}
}

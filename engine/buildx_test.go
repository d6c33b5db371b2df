package engine

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// A docker command without its plugin says many things, and none of them that
// the plugin is missing.
func TestBuildxPluginMissing(t *testing.T) {
	for _, said := range []string{
		"docker: 'buildx' is not a docker command.\nSee 'docker --help'",
		"docker: unknown command: docker buildx\n\nRun 'docker --help' for more information",
		"unknown flag: --builder\nSee 'docker --help'.\n\nUsage:  docker [OPTIONS] COMMAND",
	} {
		dir := t.TempDir()
		script := func(name, text string) {
			t.Helper()
			treetest.Program(t, filepath.Join(dir, name), []byte("#!/bin/sh\n"+text))
		}
		script("docker", "echo \""+said+"\" >&2\nexit 1\n")
		t.Setenv("PATH", dir+":/usr/bin:/bin")
		_, err := Open(t.Context(), Options{Builder: "some"})
		const want = "buildx builder some: docker has no buildx plugin: install it (apt-get install docker-buildx"
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", said, err)
		}
		// Where buildx is there as a program of its own, that is used.
		script("buildx", "echo ERROR: no builder >&2\nexit 1\n")
		if _, err = Open(t.Context(), Options{Builder: "some"}); err == nil || !strings.HasPrefix(err.Error(), "buildx builder some does not answer: no builder") {
			t.Errorf("%q, with buildx: %v", said, err)
		}
	}
}

// buildx itself knows its current builder: it is given no name.
func TestBuildxCurrentBuilder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := openBuildx(t.Context(), ""); err == nil || !strings.HasPrefix(err.Error(), "buildx's current builder: neither docker nor buildx is on PATH") {
		t.Errorf("without buildx: %v", err)
	}
	treetest.Program(t, filepath.Join(dir, "buildx"), []byte("#!/bin/sh\necho \"ERROR: called with $*\" >&2\nexit 1\n"))
	for name, want := range map[string]string{
		"":     "buildx's current builder does not answer: called with dial-stdio; see \"buildx ls\"",
		"some": "buildx builder some does not answer: called with dial-stdio --builder some; see \"buildx ls\"",
	} {
		if _, err := openBuildx(t.Context(), name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCheckBuilder(t *testing.T) {
	t.Setenv("BUILDKIT_HOST", "ftp://x")
	for builder, want := range map[string]string{
		"": "BUILDKIT_HOST", "embedded": "", "tcp://h:1": "", "name": "", "http://h:1": "unknown scheme", "/run/x": "write unix:///run/x",
	} {
		err := CheckBuilder(builder)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", builder, err)
		}
	}
}

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

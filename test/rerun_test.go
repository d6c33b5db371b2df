//go:build e2e

package test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rerunModules are two modules, of which one writes other bytes whenever it runs,
// and the other takes a file out of its build root.
func rerunModules(t *testing.T, dir string) {
	t.Helper()
	writeFiles(t, dir, map[string]string{
		"stages/org.example.random": "#!/bin/sh\nmkdir -p /run/osbuild/tree/etc\nhead -c 32 /dev/urandom > /run/osbuild/tree/etc/random\n",
		"stages/org.example.take":   "#!/bin/sh\nmkdir -p /run/osbuild/tree/etc\ncat /etc/random > /run/osbuild/tree/etc/taken\n",
	})
}

// rerunTree has packages, so that its graph is made in parts, and a stage that is
// not reproducible.
func rerunTree() object {
	return object{
		"stages":    []any{stage("org.osbuildkit.debootstrap", object{"suite": suite, "variant": "required"}), stage("org.example.random", object{})},
		"assembler": stage("org.osbuild.tar", object{"filename": "tree.tar"}),
	}
}

// randomFile returns what the file of a built archive holds.
func randomFile(t *testing.T, out, name string) string {
	t.Helper()
	var found string
	readTree(t, filepath.Join(out, "tree.tar"), func(file string, data []byte) {
		if file == name {
			found = string(data)
		}
	})
	if found == "" {
		t.Fatalf("%s is missing or empty", name)
	}
	return found
}

// ranIn lists the pipelines of the steps that ran.
func ranIn(p *process) []string {
	var out []string
	for _, name := range p.ran() {
		pipeline, _, _ := strings.Cut(strings.TrimPrefix(name, "["), " ")
		out = append(out, pipeline)
	}
	return slices.Compact(out)
}

// TestRerun runs the steps of one pipeline again: what comes out of the build is
// made of their new results and not of those in the cache.
func TestRerun(t *testing.T) {
	need(t)
	lib, out := t.TempDir(), t.TempDir()
	rerunModules(t, lib)
	args := []string{"--libdir", lib, "-o", out, manifestFile(t, "random.json", rerunTree())}
	build(t, args...)
	first := randomFile(t, out, "etc/random")
	p := build(t, append([]string{"--no-cache=tree", "--checkpoint", "tree"}, args...)...)
	second := randomFile(t, out, "etc/random")
	if second == first {
		t.Error("the result is the one of the first build")
	}
	if got := ranIn(p); !slices.Equal(got, []string{"assembler", "tree"}) {
		t.Errorf("steps of these pipelines ran: %q", got)
	}
	_, rest, _ := strings.Cut(p.stdout.String(), "tree id: ")
	id, _, _ := strings.Cut(rest, "\n")
	kept := t.TempDir()
	build(t, "-o", kept, "--no-cache=assembler", manifestFile(t, "kept.json", object{"base": id, "assembler": rerunTree()["assembler"]}))
	if got := randomFile(t, kept, "etc/random"); got != second {
		t.Error("the tree that was kept is another one than that of the result")
	}
	if p = build(t, append([]string{"--verify-reproducible=assembler"}, args...)...); !strings.Contains(p.text(), "reproducible: 3 files are the same") {
		t.Error(p.text())
	}

	// What a build root that is not reproducible does to the tree that is made with
	// its programs.
	from := manifestFile(t, "taken.json", object{
		"build":     object{"stages": rerunTree()["stages"]},
		"stages":    []any{stage("org.example.take", object{})},
		"assembler": stage("org.osbuild.tar", object{"filename": "tree.tar"}),
	})
	p = startBuild(t, "--libdir", lib, "-o", t.TempDir(), "--verify-reproducible=build", from).wait()
	if want := `tree.tar: the file "./etc/taken": its content differs`; p.code() != 1 || !strings.Contains(p.text(), want) {
		t.Errorf("code %d, want %q in\n%s", p.code(), want, p.text())
	}
}

// TestFrontendRerun does the same through buildx, whose option names a pipeline.
func TestFrontendRerun(t *testing.T) {
	needFrontend(t)
	m := syntax(rerunTree())
	dir, out := buildDir(t, m), t.TempDir()
	rerunModules(t, filepath.Join(dir, "libdir"))
	args := []string{"-o", out, "-f", filepath.Join(dir, "image.json"), dir}
	buildxBuild(t, frontend.daemon, args...)
	first := randomFile(t, out, "etc/random")
	p := buildxBuild(t, frontend.daemon, append([]string{"--no-cache-filter", "tree"}, args...)...)
	if got := randomFile(t, out, "etc/random"); got == first {
		t.Error("the result is the one of the first build")
	}
	if got := ranIn(p); !slices.Equal(got, []string{"assembler", "tree"}) {
		t.Errorf("steps of these pipelines ran: %q", got)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{`no pipeline "tre" in image.json; did you mean "tree"?`, []string{"--no-cache-filter", "tre"}},
		{`the target "tree" is not built from the pipeline "assembler"`, []string{"--no-cache-filter", "assembler", "--target", "tree"}},
		{`no target "asembler" in image.json; did you mean "assembler"?`, []string{"--target", "asembler"}},
		{`there is no build argument "OSBUILDKIT_MIROR"; did you mean "OSBUILDKIT_MIRROR"?`, []string{"--build-arg", "OSBUILDKIT_MIROR=x"}},
		{`no image can be built for the platform linux/foo: there is no architecture "foo"`, []string{"--platform", "linux/foo"}},
	} {
		p := startBuildx(t, frontend.daemon, append(c.args, args...)...).wait()
		if p.code() == 0 || !strings.Contains(p.text(), c.want) || len(p.ran()) > 0 {
			t.Errorf("%q: code %d, these ran: %q, want %q in\n%s", c.args, p.code(), p.ran(), c.want, p.text())
		}
	}
	testUselessContext(t, dir)
}

// testUselessContext gives contexts that nothing reads, which bake may do with
// several manifests: the build says so and goes on.
func testUselessContext(t *testing.T, dir string) {
	t.Helper()
	all := append([]string{"build", "--builder", frontend.daemon.name, "--progress", "plain", "--build-context", "toolbx=docker-image://x",
		"-o", t.TempDir(), "-f", filepath.Join(dir, "image.json"), dir}, withFrontend()...)
	got, err := buildxCommand(all...).CombinedOutput()
	if want := `the named context "toolbx" has no meaning; did you mean "toolbox"?`; err != nil || !strings.Contains(string(got), want) {
		t.Errorf("%v, want %q in\n%s", err, want, got)
	}
	if strings.Contains(string(got), `the named context "`+frontendName) {
		t.Errorf("the frontend's own image is warned about:\n%s", got)
	}
}

//go:build e2e

package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/examples"
)

// layoutOf builds a target as an OCI layout and returns how a context names it.
func layoutOf(t *testing.T, target string, m object, args ...string) string {
	t.Helper()
	dir, out := buildDir(t, syntax(m)), filepath.Join(t.TempDir(), "layout")
	buildxBuild(t, frontend.daemon, append([]string{"--target", target, "--provenance=false",
		"-o", "type=oci,tar=false,dest=" + out, "-f", filepath.Join(dir, "image.json"), dir}, args...)...)
	return "oci-layout://" + out + ":latest"
}

// TestFrontendContexts replaces each thing that a named context can replace.
func TestFrontendContexts(t *testing.T) {
	needFrontend(t)
	dir := buildDir(t, syntax(small()))
	file := filepath.Join(dir, "image.json")
	plain := t.TempDir()
	buildxBuild(t, frontend.daemon, "-o", plain, "-f", file, dir)
	want := sha256File(t, filepath.Join(plain, smallImage))
	same := func(t *testing.T, out string) {
		t.Helper()
		if got := sha256File(t, filepath.Join(out, smallImage)); got != want {
			t.Errorf("the image is %s, without the context %s", got, want)
		}
	}

	// The toolbox as an image of its own, built from the example.
	boxDir := t.TempDir()
	if err := os.WriteFile(filepath.Join(boxDir, "toolbox.json"), examples.Toolbox, 0o644); err != nil {
		t.Fatal(err)
	}
	box := filepath.Join(t.TempDir(), "toolbox")
	buildxBuild(t, frontend.daemon, "--build-arg", "BUILDKIT_SYNTAX="+frontendName, "--target", "tree", "--provenance=false",
		"-o", "type=oci,tar=false,dest="+box, "-f", filepath.Join(boxDir, "toolbox.json"), boxDir)
	image := "oci-layout://" + box + ":latest"

	t.Run("toolbox", func(t *testing.T) {
		out := t.TempDir()
		p := buildxBuild(t, frontend.daemon, "--build-context", "toolbox="+image, "-o", out, "-f", file, dir)
		if !slices.Equal(p.ran(), []string{"[assembler 1/1] org.osbuild.qemu"}) {
			t.Errorf("these ran: %q", p.ran())
		}
		same(t, out)
	})
	t.Run("build-env image", func(t *testing.T) {
		out := t.TempDir()
		p := buildxBuild(t, frontend.daemon, "--build-context", "build-env="+image, "-o", out, "-f", file, dir)
		for _, name := range p.ran() {
			if strings.HasPrefix(name, "[toolbox ") {
				t.Errorf("%s ran", name)
			}
		}
		same(t, out)
	})
	t.Run("build-env file", func(t *testing.T) {
		out, env := t.TempDir(), t.TempDir()
		if err := os.WriteFile(filepath.Join(env, "build-env.json"), examples.Toolbox, 0o644); err != nil {
			t.Fatal(err)
		}
		p := buildxBuild(t, frontend.daemon, "--build-context", "build-env="+env, "-o", out, "-f", file, dir)
		// Its first stage is the toolbox's own.
		if !slices.ContainsFunc(p.ran(), func(name string) bool { return strings.HasPrefix(name, "[assembler ") }) && p.cached() == 0 {
			t.Errorf("nothing was built: %q", p.ran())
		}
		same(t, out)
	})
	t.Run("directories are no file systems", func(t *testing.T) {
		for name, want := range map[string]string{
			"toolbox":   `the named context "toolbox" is a directory, which loses owners and devices on its way to the builder: give an image or an oci-layout://`,
			"build-env": `the named context "build-env": the directory has no build-env.json`,
		} {
			p := startBuildx(t, frontend.daemon, "--build-context", name+"="+t.TempDir(), "-o", t.TempDir(), "-f", file, dir).wait()
			if p.code() == 0 || !strings.Contains(p.text(), want) {
				t.Errorf("%s: exit code %d, %s", name, p.code(), p.text())
			}
		}
	})
	t.Run("base", func(t *testing.T) {
		base := layoutOf(t, "tree", edit("from-base"))
		m := object{"base": strings.Repeat("a", 64), "stages": []any{stage("org.osbuild.noop", object{})}}
		dir, out := buildDir(t, syntax(m)), filepath.Join(t.TempDir(), "tree.tar")
		buildxBuild(t, frontend.daemon, "--build-context", "base="+base, "-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir)
		wantHostname(t, out, "from-base")

		p := startBuildx(t, frontend.daemon, "-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir).wait()
		if want := "this way of building has no store of trees"; p.code() == 0 || !strings.Contains(p.text(), want) {
			t.Errorf("without the base: exit code %d, %s", p.code(), p.text())
		}
	})
	t.Run("source", testSourceContext)
}

// testSourceContext gives a file that a build would download by its checksum.
func testSourceContext(t *testing.T) {
	const pinned = "sha256:"
	// A repository whose InRelease nobody serves, but which is given.
	server := shared.mirror
	release := server.URL() + "/dists/" + suite + "/InRelease"
	file := filepath.Join(t.TempDir(), "release-file")
	output(t, "curl", "-sSf", "-o", file, release)
	sum := sha256File(t, file)
	m := object{"stages": []any{
		stage("org.osbuildkit.debootstrap", object{"suite": suite, "variant": "required", "checksum": pinned + sum}),
	}}
	fault := server.Inject(NotFound, "dists/"+suite+"/InRelease")
	defer fault.Lift()
	dir, out := buildDir(t, syntax(m)), filepath.Join(t.TempDir(), "tree.tar")
	d := newDaemon(t, "source")
	args := []string{"-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir}
	if p := startBuildx(t, d, args...).wait(); p.code() == 0 {
		t.Error("the build does not need the file")
	}
	buildxBuild(t, d, append([]string{"--build-context", pinned + sum + "=" + filepath.Dir(file)}, args...)...)
	if err := os.WriteFile(file, []byte("another file"), 0o644); err != nil {
		t.Fatal(err)
	}
	e := newDaemon(t, "wrong-source")
	p := startBuildx(t, e, append([]string{"--build-context", pinned + sum + "=" + filepath.Dir(file)}, args...)...).wait()
	if want := "no file at its top has this checksum"; p.code() == 0 || !strings.Contains(p.text(), want) {
		t.Errorf("a file with another checksum: exit code %d, %s", p.code(), p.text())
	}
}

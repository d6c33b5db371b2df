//go:build e2e

package test

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestFrontendCache exports the cache of a build in each way that there is and
// imports it into daemons that have nothing.
func TestFrontendCache(t *testing.T) {
	needFrontend(t)
	m := syntax(lean())
	m["stages"] = append(m["stages"].([]any), stage("org.osbuildkit.apt", object{"packages": []string{"hello"}}))
	dir, out := buildDir(t, m), t.TempDir()
	file := filepath.Join(dir, "image.json")
	ref, local := frontend.registry+"/cache:1", filepath.Join(t.TempDir(), "cache")
	p := buildxBuild(t, frontend.daemon, "--cache-to", "type=registry,mode=max,compression=zstd,ref="+ref,
		"--cache-to", "type=local,mode=max,compression=zstd,dest="+local, "-o", out, "-f", file, dir)
	t.Logf("build and first export: %.1fs", p.took.Seconds())
	p = buildxBuild(t, frontend.daemon, "--cache-to", "type=registry,mode=max,compression=zstd,ref="+ref, "-o", out, "-f", file, dir)
	t.Logf("nothing new, exported again: %.1fs", p.took.Seconds())
	want := sha256File(t, filepath.Join(out, smallImage))

	for name, from := range map[string]string{"registry": "type=registry,ref=" + ref, "local": "type=local,src=" + local} {
		t.Run(name, func(t *testing.T) {
			d, out := newDaemon(t, "import-"+name), t.TempDir()
			p := buildxBuild(t, d, "--cache-from", from, "-o", out, "-f", file, dir)
			t.Logf("import into an empty daemon: %.1fs", p.took.Seconds())
			if len(p.ran()) > 0 || p.cached() == 0 {
				t.Errorf("these ran: %q; %d steps cached", p.ran(), p.cached())
			}
			if got := sha256File(t, filepath.Join(out, smallImage)); got != want {
				t.Errorf("the image is %s, where it was built %s", got, want)
			}
			// The last stage runs on a tree that came out of the cache.
			changed := syntax(lean())
			changed["stages"] = append(m["stages"].([]any), stage("org.osbuild.hostname", object{"hostname": "imported"}))
			dir := buildDir(t, changed)
			p = buildxBuild(t, d, "--cache-from", from, "-o", out, "-f", filepath.Join(dir, "image.json"), dir)
			t.Logf("another last stage on it: %.1fs", p.took.Seconds())
			if want := []string{"[assembler 1/1] org.osbuild.qemu", "[tree 4/4] org.osbuild.hostname"}; !slices.Equal(p.ran(), want) {
				t.Errorf("these ran: %q, want %q", p.ran(), want)
			}
			got := sha256File(t, filepath.Join(out, smallImage))
			if name == "registry" {
				buildxBuild(t, frontend.daemon, "-o", out, "-f", filepath.Join(dir, "image.json"), dir)
				if native := sha256File(t, filepath.Join(out, smallImage)); got != native {
					t.Errorf("the image from an imported tree is %s, from the tree itself %s", got, native)
				}
			}
		})
	}
	t.Run("inline", testInlineCache)
}

// testInlineCache exports the cache inside the image. It holds the layers of
// the result and no more, so that the result has to be a tree.
func testInlineCache(t *testing.T) {
	image := frontend.registry + "/inline:1"
	dir := buildDir(t, syntax(edit("inline")))
	args := []string{"--provenance=false", "-f", filepath.Join(dir, "image.json"), dir}
	buildxBuild(t, frontend.daemon, append([]string{"--cache-to", "type=inline", "-o", "type=image,push=true,name=" + image}, args...)...)
	out := filepath.Join(t.TempDir(), "tree.tar")
	p := buildxBuild(t, newDaemon(t, "import-inline"), append([]string{"--cache-from", "type=registry,ref=" + image, "-o", tarOf(out)}, args...)...)
	if len(p.ran()) > 0 || p.cached() != 1 {
		t.Errorf("these ran: %q; %d steps cached", p.ran(), p.cached())
	}
	wantHostname(t, out, "inline")
}

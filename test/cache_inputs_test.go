//go:build e2e

package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clientInputs makes a build that reads everything that can come from the client:
// modules of the user's own, a file by its checksum, a build environment and the
// tree to start from. What one part of its graph has found out decides on the
// next, so that it is solved in several goes. The arguments are those of the named
// contexts, but for the modules, which are in libdir/ of the returned directory.
func clientInputs(t *testing.T, base string) (dir string, args []string) {
	t.Helper()
	file, env := t.TempDir(), t.TempDir()
	output(t, "curl", "-sSf", "-o", filepath.Join(file, "release"), shared.mirror.URL()+"/dists/"+suite+"/InRelease")
	sum := "sha256:" + sha256File(t, filepath.Join(file, "release"))
	boot := stage("org.osbuildkit.debootstrap", object{"suite": suite, "variant": "required", "checksum": sum})
	word := stage("org.example.word", object{})
	dir = buildDir(t, syntax(object{
		"base": strings.Repeat("a", 64), "build": object{"stages": []any{boot, word}}, "stages": []any{word},
		"assembler": stage("org.osbuild.tar", object{"filename": "tree.tar"}),
	}))
	writeFiles(t, dir, map[string]string{"libdir/stages/org.example.word": "#!/bin/sh\nmkdir -p /run/osbuild/tree/etc\necho word > /run/osbuild/tree/etc/word\n"})
	data := readFile(t, manifestFile(t, "build-env.json", object{"stages": []any{boot}}))
	if err := os.WriteFile(filepath.Join(env, "build-env.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"--build-context", sum + "=" + file, "--build-context", "build-env=" + env, "--build-context", "base=" + base}
}

// TestFrontendCacheInputs imports the cache of a build that reads files of the
// client into builders that have nothing, on each route: nothing may run.
func TestFrontendCacheInputs(t *testing.T) {
	needFrontend(t)
	dir, contexts := clientInputs(t, layoutOf(t, "tree", edit("base")))
	file, out := filepath.Join(dir, "image.json"), t.TempDir()
	ref, local := frontend.registry+"/inputs:1", filepath.Join(t.TempDir(), "cache")
	from := map[string]string{"registry": "type=registry,ref=" + ref, "local": "type=local,src=" + local}
	p := build(t, slices.Concat(contexts, []string{"-o", out, "--cache-to", "type=registry,mode=max,compression=zstd,ref=" + ref,
		"--cache-to", "type=local,mode=max,compression=zstd,dest=" + local, file})...)
	t.Logf("build and export: %.1fs", p.took.Seconds())
	want := sha256File(t, filepath.Join(out, "tree.tar"))

	asked := shared.mirror.Requests("")
	expect := func(t *testing.T, p *process, out string) {
		t.Helper()
		t.Logf("import: %.1fs, %d steps cached", p.took.Seconds(), p.cached())
		if len(p.ran()) > 0 || p.cached() == 0 {
			t.Errorf("these ran: %q; %d steps cached", p.ran(), p.cached())
		}
		if all := shared.mirror.Requested(""); len(all) > asked {
			t.Errorf("these files were downloaded: %q", all[asked:])
		}
		if got := sha256File(t, filepath.Join(out, "tree.tar")); got != want {
			t.Errorf("the archive is %s, where it was built %s", got, want)
		}
	}
	for name, cache := range from {
		t.Run("embedded "+name, func(t *testing.T) {
			out, store := t.TempDir(), t.TempDir()
			expect(t, build(t, slices.Concat(contexts, []string{"--store", store, "-o", out, "--cache-from", cache, file})...), out)
		})
		t.Run("buildx "+name, func(t *testing.T) {
			out := t.TempDir()
			args := slices.Concat(contexts, []string{"-o", out, "--cache-from", cache, "-f", file})
			if name == "local" { // modules of a named context, else those of the main one
				args = append(args, "--build-context", "libdir="+filepath.Join(dir, "libdir"))
			}
			expect(t, buildxBuild(t, newDaemon(t, "inputs-"+name), append(args, dir)...), out)
		})
	}
}

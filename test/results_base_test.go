//go:build e2e

package test

import (
	"archive/tar"
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var outputID = regexp.MustCompile(`(?m)^output id: ([0-9a-f]{64})$`)

// ids returns the tree's and the output's id that a build has printed.
func ids(t *testing.T, p *process) [2]string {
	t.Helper()
	tree, output := treeID.FindStringSubmatch(p.stdout.String()), outputID.FindStringSubmatch(p.stdout.String())
	if tree == nil {
		t.Fatalf("stdout names no tree: %q", &p.stdout)
	}
	if output == nil {
		return [2]string{tree[1], ""}
	}
	return [2]string{tree[1], output[1]}
}

// chain is a manifest in parts: each but the first starts from the tree of the
// one before.
func chain() (parts [][]any, assembler object) {
	return [][]any{
		{
			bootstrap(),
			// What is in the ledger, and no layer keeps.
			stage("org.osbuildkit.attributes", object{"paths": object{
				"/etc/passwd": object{"xattrs": object{"user.note": "kept"}, "acl": "u:0:rw-"},
			}}),
		},
		{stage("org.osbuildkit.apt", object{"packages": []string{"hello"}, "repos": []any{object{"suite": suite}}})},
		{stage("org.osbuild.hostname", object{"hostname": "chain"})},
	}, object{"name": "org.osbuild.tar", "options": object{"filename": "tree.tar"}}
}

// packageNames reads packages.json.
func packageNames(t *testing.T, dir string) []string {
	t.Helper()
	var list struct{ Packages []struct{ Name string } }
	if err := json.Unmarshal(readFile(t, filepath.Join(dir, "packages.json")), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list.Packages {
		names = append(names, p.Name)
	}
	return names
}

// TestChainOfBases builds a manifest as a whole and in parts, each from the
// stored tree of the one before.
func TestChainOfBases(t *testing.T) {
	need(t)
	parts, assembler := chain()
	whole := t.TempDir()
	want := ids(t, build(t, "-o", whole, manifestFile(t, "whole.json", object{"stages": slices.Concat(parts...), "assembler": assembler})))
	base, first, out := "", "", t.TempDir()
	for i, stages := range parts {
		m := object{"stages": stages}
		if base != "" {
			m["base"] = base
		}
		args := []string{"-o", t.TempDir(), "--target", "tree", "--checkpoint", "tree"}
		if i == len(parts)-1 {
			m["assembler"], args = assembler, []string{"-o", out}
		}
		got := ids(t, build(t, append(args, manifestFile(t, "part.json", m))...))
		if base = got[0]; first == "" {
			first = got[0]
		}
		if i == len(parts)-1 && got != want {
			t.Errorf("the ids are %q, of the whole manifest %q", got, want)
		}
	}
	for _, name := range []string{"tree.tar", "packages.json", "SHA256SUMS"} {
		if sha256File(t, filepath.Join(out, name)) != sha256File(t, filepath.Join(whole, name)) {
			t.Errorf("%s differs from that of the whole manifest", name)
		}
	}
	entries := readTree(t, filepath.Join(out, "tree.tar"), nil)
	if e := entries["etc/passwd"]; e.Header == nil || e.PAXRecords["SCHILY.xattr.user.note"] != "kept" || e.PAXRecords["SCHILY.acl.access"] == "" {
		t.Errorf("/etc/passwd has lost its attributes: %+v", e.Header)
	}
	t.Run("nothing but a base", func(t *testing.T) {
		out := t.TempDir()
		got := ids(t, build(t, "-o", out, manifestFile(t, "based.json", object{"base": first, "assembler": assembler})))
		whole := ids(t, build(t, "-o", t.TempDir(), manifestFile(t, "whole.json", object{"stages": parts[0], "assembler": assembler})))
		if got != whole {
			t.Errorf("the ids are %q, of the whole manifest %q", got, whole)
		}
		if names := packageNames(t, out); !slices.Contains(names, "base-files") || slices.Contains(names, "hello") {
			t.Errorf("packages.json lists %q", names)
		}
	})
	t.Run("another time", func(t *testing.T) { anotherTime(t, first, assembler) })
	t.Run("another platform", func(t *testing.T) {
		file := textFile(t, "arm.json", `{"base": "`+first+`", "stages": [{"name": "org.osbuild.noop"}]}`)
		p := startBuild(t, "-o", t.TempDir(), "--target", "tree", "--platform", "linux/arm64", file).wait()
		want := file + `:1:10: "base": the tree ` + first + " is for linux/amd64, and this build is for linux/arm64"
		if p.code() == 0 || !strings.HasPrefix(p.text(), want) || len(p.ran()) > 0 {
			t.Errorf("exit code %d, %q ran, %s", p.code(), p.ran(), p.text())
		}
	})
}

// anotherTime asks for a time that is before that of the stored tree: this is not
// what the whole manifest gives, and is not called so.
func anotherTime(t *testing.T, base string, assembler object) {
	const epoch = 1400000000
	m := object{"base": base, "stages": []any{
		stage("org.osbuildkit.apt", object{"packages": []string{"hello"}, "repos": []any{object{"suite": suite}}}),
	}, "assembler": assembler}
	before, out, file := t.TempDir(), t.TempDir(), manifestFile(t, "based.json", m)
	plain := ids(t, build(t, "-o", before, file))
	p := build(t, "-o", out, "--build-arg", "SOURCE_DATE_EPOCH=1400000000", file)
	if got := ids(t, p); got[0] == plain[0] || got[1] == plain[1] {
		t.Errorf("the ids %q are those of the whole manifest", got)
	}
	if !strings.Contains(p.text(), "the ids are not those of the whole manifest: the tree was built for the time") {
		t.Errorf("nobody is told: %s", p.text())
	}
	links := func(dir string) (names []string) {
		for name, e := range readTree(t, filepath.Join(dir, "tree.tar"), nil) {
			if dir == out && e.ModTime.Unix() > epoch {
				t.Errorf("%s has the time %v", name, e.ModTime)
			}
			if e.Typeflag == tar.TypeLink {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	if a, b := links(before), links(out); len(a) == 0 || !slices.Equal(a, b) {
		t.Errorf("the hard links were %q and are %q", a, b)
	}
}

// TestFrontendBase starts from trees that are container images: one of our own,
// with what is known of it, one of which nothing is known, and one for another
// platform.
func TestFrontendBase(t *testing.T) {
	needFrontend(t)
	parts, assembler := chain()
	output := func(m object, args ...string) string {
		t.Helper()
		dir, out := buildDir(t, syntax(m)), t.TempDir()
		buildxBuild(t, frontend.daemon, append([]string{"-o", out, "-f", filepath.Join(dir, "image.json"), dir}, args...)...)
		return out
	}
	whole := output(object{"stages": slices.Concat(parts[0], parts[2]), "assembler": assembler})
	image := layoutOf(t, "tree", object{"stages": parts[0]})
	m := object{"base": strings.Repeat("a", 64), "stages": parts[2], "assembler": assembler}
	out := output(m, "--build-context", "base="+image)
	for _, name := range []string{"tree.tar", "packages.json"} {
		if sha256File(t, filepath.Join(out, name)) != sha256File(t, filepath.Join(whole, name)) {
			t.Errorf("%s differs from that of the whole manifest", name)
		}
	}

	// A Dockerfile on top of it makes an image that does not say what it is.
	foreign := filepath.Join(t.TempDir(), "foreign")
	dockerfile := textFile(t, "Dockerfile", "FROM scratch\nCOPY --from=tree / /\n")
	if p := start(t, buildxCommand("build", "--builder", frontend.daemon.name, "--progress", "rawjson", "--provenance=false", "--build-context", "tree="+image,
		"-o", "type=oci,tar=false,dest="+foreign, "-f", dockerfile, filepath.Dir(dockerfile))).wait(); p.code() != 0 {
		t.Fatal(p.text())
	}
	want := packageNames(t, whole)
	out = output(m, "--build-context", "base=oci-layout://"+foreign+":latest")
	if got := packageNames(t, out); !slices.Equal(got, want) {
		t.Errorf("of an unknown image packages.json lists %q, want %q", got, want)
	}

	dir := buildDir(t, syntax(m))
	p := startBuildx(t, frontend.daemon, "--platform", "linux/arm64", "--build-context", "base="+image,
		"-o", t.TempDir(), "-f", filepath.Join(dir, "image.json"), dir).wait()
	if p.code() == 0 || !strings.Contains(p.text(), "is for linux/amd64, and this build is for linux/arm64") || len(p.ran()) > 0 {
		t.Errorf("exit code %d, %q ran, %s", p.code(), p.ran(), p.text())
	}
	if want := "image.json:"; !strings.Contains(p.text(), want) {
		t.Errorf("the error has no place: %s", p.text())
	}
}

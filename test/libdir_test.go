//go:build e2e

package test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Modules of the user's own, in shell. The toolbox has /bin/sh.
const (
	motdModule = `#!/bin/sh
set -e
input=$(cat)
tree=$(echo "$input" | sed 's/.*"tree":"\([^"]*\)".*/\1/')
text=$(echo "$input" | sed 's/.*"text":"\([^"]*\)".*/\1/')
mkdir -p "$tree/etc"
echo "$text $(cat "$0.d/word")" > "$tree/etc/motd"
echo "127.0.0.1 own" > "$tree/etc/hosts"
echo "nameserver 192.0.2.1" > "$tree/etc/resolv.conf"
`
	lastModule = `#!/bin/sh
echo first >> /run/osbuild/tree/etc/last
`
)

// writeFiles writes files below dir; those without a suffix can be run.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		mode := os.FileMode(0o755)
		if filepath.Ext(name) == ".json" || strings.Contains(name, ".d/") {
			mode = 0o644
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// userModules makes a directory of modules in shell and Go. The first one is
// like that of no other run, so that nothing is in the cache.
func userModules(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(t.TempDir(), "module")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "./testdata/usermodule")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{
		"stages/org.example.motd":        motdModule + "# " + time.Now().Format(time.RFC3339Nano) + "\n",
		"stages/org.example.motd.d/word": "world\n",
		"stages/org.example.motd.json":   `{"schema": {"required": ["text"], "properties": {"text": {"type": "string"}}}}`,
		"stages/org.example.look":        string(data),
		"stages/org.example.look.json":   `{"sandbox": "inside"}`,
		"stages/org.example.last":        lastModule,
		"assemblers/org.example.copy":    string(data),
		"not-for-the-builder":            "x",
	})
	return dir
}

const userManifestText = `{
  "stages": [
    {"name": "org.example.motd", "options": {"text": "hello"}},
    {"name": "org.example.look"},
    {"name": "org.example.last"}
  ],
  "assembler": {"name": "org.example.copy", "options": {"filename": "motd.txt"}}
}
`

// TestLibdir builds with modules of the user's own, on all routes and after
// changes to the modules.
func TestLibdir(t *testing.T) {
	need(t)
	lib, file, out := userModules(t), textFile(t, "user.json", userManifestText), t.TempDir()
	expect := func(what string, want []string, args ...string) *process {
		t.Helper()
		p := build(t, append(args, "-o", out, file)...)
		ran := slices.DeleteFunc(p.ran(), func(s string) bool { return strings.HasPrefix(s, "[toolbox ") })
		if !slices.Equal(ran, want) {
			t.Errorf("%s: these ran: %q, want %q", what, ran, want)
		}
		return p
	}
	motd, prepare, look, last, assembler := "[tree 1/3] org.example.motd", "[tree 2/3] org.example.look: prepare", "[tree 2/3] org.example.look",
		"[tree 3/3] org.example.last", "[assembler 1/1] org.example.copy"
	all := []string{assembler, motd, look, prepare, last}
	expect("at first", all, "--libdir", lib)
	if data, err := os.ReadFile(filepath.Join(out, "motd.txt")); err != nil || string(data) != "hello world\n" {
		t.Errorf("%q, %v", data, err)
	}
	if got := files(t, out); !slices.Equal(got, []string{"SHA256SUMS", "motd.txt"}) {
		t.Errorf("files %q", got)
	}
	p := expect("again", nil, "-l", lib, "--json")
	if !strings.Contains(p.stdout.String(), `"unchanged":true`) && !strings.Contains(p.stdout.String(), `"unchanged": true`) {
		t.Errorf("the file was fetched again: %s", p.stdout.String())
	}
	expect("as a named context", nil, "--build-context", "libdir="+lib)
	expect("as an image", nil, "--build-context", "libdir=oci-layout://"+imageLayout(t, lib))

	writeFiles(t, lib, map[string]string{"stages/org.example.other": lastModule, "stages/org.example.last.json": `{"summary": "append a line"}`})
	expect("after what is no program has changed", nil, "--libdir", lib)
	writeFiles(t, lib, map[string]string{"stages/org.example.last": strings.Replace(lastModule, "first", "second", 1)})
	expect("after the last module has changed", []string{assembler, last}, "--libdir", lib)
	writeFiles(t, lib, map[string]string{"stages/org.example.motd.d/word": "moon\n"})
	expect("after a file of the first module has changed", all, "--libdir", lib)
	if data, err := os.ReadFile(filepath.Join(out, "motd.txt")); err != nil || string(data) != "hello moon\n" {
		t.Errorf("%q, %v", data, err)
	}
	checkUserTree(t, lib, file)
}

// checkUserTree looks at what the modules have left in the tree, and what a
// step inside it has seen.
func checkUserTree(t *testing.T, lib, file string) {
	t.Helper()
	dir := t.TempDir()
	build(t, "--libdir", lib, "--target", "tree", "-o", dir, file)
	contents := map[string]string{}
	tree := readTree(t, filepath.Join(dir, "tree.tar"), func(name string, data []byte) { contents[name] = string(data) })
	want := map[string]string{
		"etc/motd": "hello moon\n", "etc/hosts": "127.0.0.1 own\n", "etc/resolv.conf": "nameserver 192.0.2.1\n", "etc/last": "second\n",
		"seen": "tree /\n/etc/hosts: 127.0.0.1 own\n/etc/resolv.conf: nameserver 192.0.2.1\n/proc/1/comm: osbuildkit-runn\ninterface lo\nenvironment 5\n",
	}
	for name, text := range want {
		if contents[name] != text {
			t.Errorf("/%s holds %q, want %q", name, contents[name], text)
		}
	}
	for name, e := range tree {
		if e.Typeflag != tar.TypeDir && want[name] == "" {
			t.Errorf("/%s is left: %s", name, describe(tree, name, false))
		}
	}
	for name, mode := range map[string]int64{"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755} {
		if e, ok := tree[name]; !ok || e.Mode&0o7777 != mode {
			t.Errorf("/%s is %s", name, describe(tree, name, false))
		}
	}
}

// TestFrontendLibdir builds with modules of the user's own through buildx, after
// the command line has done so on the same daemon: nothing is run again. The
// module runs inside the tree, so no build root is needed.
func TestFrontendLibdir(t *testing.T) {
	needFrontend(t)
	lib := userModules(t)
	m := object{"stages": []any{stage("org.osbuild.hostname", object{"hostname": "libdir"}), object{"name": "org.example.look"}}}
	out := filepath.Join(t.TempDir(), "tree.tar")
	p := build(t, "--builder", frontend.daemon.address, "--libdir", lib, "-o", t.TempDir(), manifestFile(t, "image.json", m))
	if want := []string{"[tree 1/2] org.osbuild.hostname", "[tree 2/2] org.example.look", "[tree 2/2] org.example.look: prepare"}; !slices.Equal(p.ran(), want) {
		t.Errorf("these ran: %q, want %q", p.ran(), want)
	}
	dir := buildDir(t, syntax(m))
	p = buildxBuild(t, frontend.daemon, "--build-context", "libdir="+lib, "-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir)
	if ran := p.ran(); len(ran) > 0 {
		t.Errorf("these ran through buildx: %q", ran)
	}
	seen := ""
	readTree(t, out, func(name string, data []byte) {
		if name == "seen" {
			seen = string(data)
		}
	})
	if want := "tree /\n/proc/1/comm: osbuildkit-runn\ninterface lo\nenvironment 5\n"; seen != want {
		t.Errorf("the module has seen %q, want %q", seen, want)
	}
	// In the context, no option names them.
	if err := os.CopyFS(filepath.Join(dir, "libdir"), os.DirFS(lib)); err != nil {
		t.Fatal(err)
	}
	p = buildxBuild(t, frontend.daemon, "-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir)
	if ran := p.ran(); len(ran) > 0 {
		t.Errorf("these ran through buildx with libdir/ in the context: %q", ran)
	}
	p = build(t, "--builder", frontend.daemon.address, "-o", t.TempDir(), filepath.Join(dir, "image.json"))
	if ran := p.ran(); len(ran) > 0 {
		t.Errorf("these ran with libdir/ beside the manifest: %q", ran)
	}
	bad := t.TempDir()
	writeFiles(t, bad, map[string]string{"stages/a": "#!/bin/sh\n", "stages/a.json": "{\n  \"sumary\": 1\n}"})
	p = startBuildx(t, frontend.daemon, "--build-context", "libdir="+bad, "-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir).wait()
	if want := `libdir/stages/a.json:2:3: unknown key "sumary" in the description of a module`; p.code() == 0 || !strings.Contains(p.text(), want) {
		t.Errorf("exit code %d, %s\nwant %s", p.code(), p.text(), want)
	}
}

// imageLayout makes an OCI layout with an image of one layer, which holds the
// directories of modules as a tool would pack them.
func imageLayout(t *testing.T, lib string) string {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, sub := range []string{"stages", "assemblers"} {
		err := filepath.WalkDir(filepath.Join(lib, sub), func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			h, err := tar.FileInfoHeader(info, "")
			if err != nil {
				return err
			}
			if h.Name, err = filepath.Rel(lib, path); err != nil {
				return err
			}
			h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
			if err := w.WriteHeader(h); err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err == nil {
				_, err = w.Write(data)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	blob := func(mediaType string, data []byte) ocispecs.Descriptor {
		d := digest.FromBytes(data)
		writeFiles(t, dir, map[string]string{"blobs/sha256/" + d.Encoded(): string(data)})
		return ocispecs.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	l := blob(ocispecs.MediaTypeImageLayer, layer.Bytes())
	config := blob(ocispecs.MediaTypeImageConfig, encode(ocispecs.Image{
		Platform: ocispecs.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.Digest}},
	}))
	v2 := specs.Versioned{SchemaVersion: 2}
	image := blob(ocispecs.MediaTypeImageManifest, encode(ocispecs.Manifest{
		Versioned: v2, MediaType: ocispecs.MediaTypeImageManifest, Config: config, Layers: []ocispecs.Descriptor{l},
	}))
	writeFiles(t, dir, map[string]string{
		"index.json": string(encode(ocispecs.Index{Versioned: v2, MediaType: ocispecs.MediaTypeImageIndex, Manifests: []ocispecs.Descriptor{image}})),
		"oci-layout": `{"imageLayoutVersion": "1.0.0"}`,
	})
	return dir
}

// TestLibdirFailures checks what is said about modules that fail or cannot run.
func TestLibdirFailures(t *testing.T) {
	need(t)
	lib := t.TempDir()
	writeFiles(t, lib, map[string]string{
		"stages/org.example.fails":       "#!/bin/sh\necho one; echo two >&2; exit 3\n",
		"stages/org.example.python":      "#!/usr/bin/no-such-python\nprint()\n",
		"stages/org.example.inside":      "#!/bin/sh\n",
		"stages/org.example.inside.json": `{"sandbox": "inside"}`,
		"stages/org.example.killed":      "#!/bin/sh\nkill -9 $$\n",
		"stages/org.example.plain":       "echo\n",
		"assemblers/org.example.link":    "#!/bin/sh\nln -s /etc/passwd /run/osbuild/output/passwd\n",
		"assemblers/org.example.network": "#!/bin/sh\nexec ls /sys/class/net > /run/osbuild/output/interfaces\n",
	})
	for _, tt := range []struct{ name, want string }{
		{"org.example.fails", "FILE:2:2: [tree 1/1] org.example.fails failed: exit code: 3\n…" +
			"the end of its log:\n  | one\n  | two\n  | org.example.fails: exit code 3\n"},
		{"org.example.python", "…exit code: 127\n…  | org.example.python: its interpreter /usr/bin/no-such-python is not in the build root: install it there, or write the module in another language\n"},
		{"org.example.inside", "…  | org.example.inside: its interpreter /bin/sh is not in the tree: install it there, or write the module in another language\n"},
		{"org.example.killed", "…exit code: 137\n…  | org.example.killed: killed by signal 9 (killed); where nobody has done it, the builder was out of memory\n"},
		{"org.example.plain", "…  | org.example.plain: is neither a script, with \"#!\" and an interpreter in its first line, nor a program for this machine\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := textFile(t, "image.json", "{\"stages\": [\n {\"name\": \""+tt.name+"\"}\n]}\n")
			p := startBuild(t, "--libdir", lib, "-o", t.TempDir(), file).wait()
			got := strings.ReplaceAll(p.text(), file, "FILE")
			if p.code() != 1 || !matchText(tt.want, got) {
				t.Errorf("exit code %d\ngot:\n%s\nwant:\n%s", p.code(), got, tt.want)
			}
		})
	}
	t.Run("assembler", func(t *testing.T) {
		text := `{"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}], "assembler": {"name": "NAME"}}`
		file, out := textFile(t, "image.json", strings.Replace(text, "NAME", "org.example.link", 1)), t.TempDir()
		p := startBuild(t, "--libdir", lib, "-o", out, file).wait()
		const want = "…  | org.example.link: it has written passwd into the output directory, which is neither a file nor a directory but of type L---------\n"
		if p.code() != 1 || !matchText(want, p.text()) || len(files(t, out)) > 0 {
			t.Errorf("exit code %d, files %q\n%s", p.code(), files(t, out), p.text())
		}
		build(t, "--libdir", lib, "-o", out, textFile(t, "image.json", strings.Replace(text, "NAME", "org.example.network", 1)))
		if data, err := os.ReadFile(filepath.Join(out, "interfaces")); err != nil || string(data) != "lo\n" {
			t.Errorf("interfaces %q, %v", data, err)
		}
	})
}

package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"

	"github.com/osbuildkit/osbuildkit/lint"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// execute runs the command line in this process.
func execute(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs}
	code = a.run(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestCommands(t *testing.T) {
	t.Parallel()
	const good = `{"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}]}`
	const bad = `{"stages": [{"name": "org.osbuild.hostnam"}], "assembler": 3}`
	const unpinned = `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}}]}`
	unpinnedWarning := `<stdin>:1:22: warning: UnpinnedRepository: the repository is not pinned, so the result changes when it does: add "snapshot": "` + time.Now().UTC().Format("20060102") + `T000000Z"
     1 | {"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}}]}
       |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
`
	const withArgs = `{"args": {"host": {"type": "string"}}, "stages": [{"name": "org.osbuild.hostname", "options": {"hostname": {"$format": "h-${host}"}}}]}`
	const missingArg = `<stdin>:1:11: the build argument "host" is not given and has no default (at /args/host); give it with --build-arg host=VALUE, or declare a "default"
     1 | ` + withArgs + `
       |           ^^^^^^
`
	cases := []struct {
		name, stdin, stdout, stderr string
		args                        []string
		code                        int
	}{
		{name: "valid", args: []string{"check", "-"}, stdin: good, stdout: "<stdin>: format 2019, 1 pipelines, 1 stages: valid\n"},
		{name: "invalid", args: []string{"check", "-"}, stdin: bad, code: 2, stderr: `<stdin>:1:22: unknown stage "org.osbuild.hostnam" (at /stages/0/name); did you mean "org.osbuild.hostname"?
     1 | {"stages": [{"name": "org.osbuild.hostnam"}], "assembler": 3}
       |                      ^^^^^^^^^^^^^^^^^^^^^
<stdin>:1:60: the assembler must be an object, found a number (at /assembler)
     1 | {"stages": [{"name": "org.osbuild.hostnam"}], "assembler": 3}
       |                                                            ^
`},
		{name: "build checks first", args: []string{"build", "--builder", "unix:///nonexistent", "-"}, stdin: "{", code: 2,
			stderr: "<stdin>:1:2: "},
		{name: "unpinned", args: []string{"check", "-"}, stdin: unpinned, stdout: "<stdin>: format 2019, 1 pipelines, 1 stages: valid, 1 warning\n", stderr: unpinnedWarning},
		{name: "warnings are errors", args: []string{"check", "--error", "-"}, stdin: unpinned, code: 1,
			stdout: "<stdin>: format 2019, 1 pipelines, 1 stages: valid, 1 warning\n", stderr: unpinnedWarning},
		{name: "no warnings to be errors", args: []string{"check", "--error", "-"}, stdin: good, stdout: "<stdin>: format 2019, 1 pipelines, 1 stages: valid\n"},
		{name: "pinned by the build", args: []string{"check", "--error", "--build-arg", "OSBUILDKIT_SNAPSHOT=20261121T000000Z", "-"}, stdin: unpinned,
			stdout: "<stdin>: format 2019, 1 pipelines, 1 stages: valid\n"},
		{name: "no time", args: []string{"check", "--build-arg", "OSBUILDKIT_SNAPSHOT=yesterday", "-"}, stdin: unpinned, code: 2,
			stderr: "osbuildkit: --build-arg OSBUILDKIT_SNAPSHOT: \"yesterday\" is no time such as \"20261121T000000Z\"\n"},
		{name: "skipped", args: []string{"check", "--error", "--skip", "MutableURL, UnpinnedRepository", "-"}, stdin: unpinned,
			stdout: "<stdin>: format 2019, 1 pipelines, 1 stages: valid\n"},
		{name: "all skipped", args: []string{"check", "--skip", "all", "-"}, stdin: unpinned, stdout: "<stdin>: format 2019, 1 pipelines, 1 stages: valid\n"},
		{name: "skipped rule misspelt", args: []string{"check", "--skip", "UnpinedRepository", "-"}, stdin: good, code: 2,
			stderr: "osbuildkit: --skip: no rule \"UnpinedRepository\"; did you mean \"UnpinnedRepository\"?\n"},
		{name: "skipped rule unknown", args: []string{"check", "--skip", "JSONArgsRecommended", "-"}, stdin: good, code: 2,
			stderr: "osbuildkit: --skip: no rule \"JSONArgsRecommended\"; 'osbuildkit check --rules' lists them\n"},
		{name: "rules of a manifest", args: []string{"check", "--rules", "-"}, code: 2,
			stderr: "osbuildkit: osbuildkit check takes no MANIFEST with --rules; see 'osbuildkit check --help'\n"},
		{name: "builds nothing", args: []string{"build", "-"}, stdin: `{}`},
		{name: "builds nothing, as JSON", args: []string{"build", "--json", "-"}, stdin: `{}`, stdout: "{\"success\":true}\n"},
		{name: "no file", args: []string{"check", "/nonexistent/x.json"}, code: 2, stderr: "osbuildkit: open /nonexistent/x.json: no such file or directory\n"},
		{name: "no argument", args: []string{"build"}, code: 2, stderr: "osbuildkit: osbuildkit build takes one MANIFEST, or - for standard input; see 'osbuildkit build --help'\n"},
		{name: "unknown flag", args: []string{"build", "--nonsense", "-"}, code: 2, stderr: "osbuildkit: unknown flag: --nonsense; 'osbuildkit build --help' lists the flags\n"},
		{name: "libdir", args: []string{"build", "--libdir", "/nonexistent", "-"}, stdin: good, code: 2,
			stderr: "osbuildkit: --libdir: open /nonexistent: no such file or directory; give a directory with stages/ and assemblers/, or an image as --build-context libdir=…\n"},
		{name: "libdir without modules", args: []string{"check", "-l", ".", "-"}, stdin: good, code: 2,
			stderr: "osbuildkit: --libdir: . holds neither stages/ nor assemblers/: modules of your own are stages/NAME and assemblers/NAME\n"},
		{name: "libdir twice", args: []string{"build", "-l", "a", "--build-context", "libdir=b", "-"}, stdin: good, code: 2,
			stderr: "osbuildkit: --build-context libdir=b: --libdir a is given as well, and it is the same\n"},
		{name: "progress", args: []string{"build", "--progress", "loud", "-"}, stdin: good, code: 2, stderr: "osbuildkit: --progress \"loud\": choose auto, plain, tty, quiet or rawjson\n"},
		{name: "allow", args: []string{"build", "--allow", "network.host", "--allow", "device", "-"}, stdin: good, code: 2, stderr: "osbuildkit: --allow \"device\": only network.host can be allowed, no step asks for more\n"},
		{name: "build-arg", args: []string{"build", "--build-arg", "x", "-"}, stdin: good, code: 2, stderr: "osbuildkit: --build-arg \"x\": write NAME=VALUE\n"},
		{name: "build-arg of check", args: []string{"check", "--build-arg", "=1", "-"}, stdin: good, code: 2, stderr: "osbuildkit: --build-arg \"=1\": write NAME=VALUE\n"},
		{name: "build arguments", args: []string{"check", "--build-arg", "host=a=b", "--build-arg", "host=b", "-"}, stdin: withArgs,
			stdout: "<stdin>: format 2019, 1 pipelines, 1 stages: valid\n"},
		{name: "missing build argument", args: []string{"check", "-"}, stdin: withArgs, code: 2, stderr: missingArg},
		{name: "missing build argument of inspect", args: []string{"inspect", "-"}, stdin: withArgs, code: 2, stderr: missingArg},
		{name: "missing build argument of build", args: []string{"build", "--builder", "unix:///nonexistent", "-"}, stdin: withArgs, code: 2, stderr: missingArg},
		{name: "bad value of a build argument", args: []string{"check", "--build-arg", "host=A b", "-"}, stdin: withArgs, code: 2,
			stderr: "<stdin>:1:108: "},
		{name: "two exports", args: []string{"build", "--target", "tree", "--export", "build", "-"}, stdin: good, code: 2,
			stderr: "osbuildkit: --export build: one pipeline is built at a time, and it is already tree\n"},
		{name: "checkpoint", args: []string{"build", "--builder", "unix:///nonexistent", "--checkpoint", "x", "-"}, stdin: `{"stages": [{"name": "org.osbuild.noop"}]}`, code: 2,
			stderr: "osbuildkit: --checkpoint \"x\": only the finished tree can be kept; its id is beda46704765a47e6d4f44aff22168ae36866c9c0e6e11552b775b77776b2969\n"},
		{name: "no stage", args: []string{"stages", "org.osbuild.nonsense"}, code: 2,
			stderr: "osbuildkit: no stage or assembler \"org.osbuild.nonsense\"; 'osbuildkit stages' lists them\n"},
		{name: "boot nothing", args: []string{"boot", "/nonexistent.qcow2"}, code: 2, stderr: "osbuildkit: open /nonexistent.qcow2: no such file or directory\n"},
		{name: "boot no image", args: []string{"boot", "cli_test.go"}, code: 2,
			stderr: "osbuildkit: cli_test.go: no known format, and no boot signature, partition table or file system as a raw disk would have\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t, c.stdin, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if d := cmp.Diff(c.stdout, stdout); d != "" {
				t.Errorf("stdout:\n%s", d)
			}
			// A syntax error's own words are tested where they are made.
			if strings.HasSuffix(c.stderr, ": ") && strings.HasPrefix(stderr, c.stderr) {
				return
			}
			if d := cmp.Diff(c.stderr, stderr); d != "" {
				t.Errorf("stderr:\n%s", d)
			}
		})
	}
}

func TestTooLargeManifest(t *testing.T) {
	t.Parallel()
	code, _, stderr := execute(t, strings.Repeat(" ", manifest.MaxSize+1), "check", "-")
	if want := "osbuildkit: -: larger than 16 MiB, which is the limit of BuildKit for a build file\n"; code != 2 || stderr != want {
		t.Errorf("%d %q", code, stderr)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := execute(t, "", "check", "--rules")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "\nUnpinnedRepository ") || strings.Count(stdout, "\n") != len(lint.Rules()) {
		t.Errorf("%d %q\n%s", code, stderr, stdout)
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	code, stdout, _ := execute(t, `{"stages": [{"name": "org.osbuild.noop"}]}`, "inspect", "-")
	// The id is osbuild's own for this pipeline.
	if want := "beda46704765a47e6d4f44aff22168ae36866c9c0e6e11552b775b77776b2969"; code != 0 || strings.Count(stdout, want) != 3 {
		t.Errorf("%d\n%s", code, stdout)
	}
}

// The ids and options are those of the manifest with the values in it.
func TestInspectWithArgs(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := execute(t, `{"args": {"x": {"type": "number", "default": 1.50}}, "stages": [{"name": "org.osbuild.noop", "options": {"a": {"$arg": "x"}}}]}`,
		"inspect", "-")
	_, plain, _ := execute(t, `{"stages": [{"name": "org.osbuild.noop", "options": {"a": 1.50}}]}`, "inspect", "-")
	const args = `  "args": [
    {
      "name": "x",
      "type": "number",
      "default": 1.50,
      "given": false,
      "value": 1.50,
      "uses": 1
    }
  ],
`
	if d := cmp.Diff(plain, strings.Replace(stdout, args, "", 1)); code != 0 || d != "" || !strings.Contains(stdout, args) {
		t.Errorf("exit code %d; but for the arguments (-without +with):\n%s", code, d)
	}
	if stderr != "" {
		t.Errorf("stderr: %s", stderr)
	}
}

func TestStages(t *testing.T) {
	t.Parallel()
	code, stdout, _ := execute(t, "", "stages")
	for _, name := range []string{"org.osbuild.hostname", "org.osbuildkit.apt", "org.osbuild.qemu"} {
		if !strings.Contains(stdout, name) {
			t.Errorf("%s is not listed", name)
		}
	}
	if strings.Contains(stdout, "org.osbuildkit.prepare") || code != 0 {
		t.Errorf("%d: parts are listed:\n%s", code, stdout)
	}
	if code, stdout, _ = execute(t, "", "stages", "org.osbuild.qemu"); code != 0 || !strings.Contains(stdout, "ptuuid") {
		t.Errorf("%d:\n%s", code, stdout)
	}
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	long := `{"stages": [` + strings.Repeat(" ", 300) + `{"nam": 1}]}`
	for _, text := range []string{"{\n\t\"stagess\": []\n}", long, "\ufeff{\"ü\": 1, \"stagess\": 2}\r\n"} {
		code, _, stderr := execute(t, text, "check", "-")
		lines := strings.Split(stderr, "\n")
		if code != 2 || len(lines) < 3 {
			t.Fatalf("%d %q", code, stderr)
		}
		shown, marks := []rune(lines[1]), []rune(lines[2])
		at := strings.IndexRune(string(marks), '^')
		if at < 0 || len(shown) > maxLine+9 {
			t.Fatalf("no mark, or a line of %d characters: %q", len(shown), stderr)
		}
		from := len([]rune(string(marks)[:at]))
		if got := string(shown[from:min(len(shown), from+len(marks)-from)]); !strings.HasPrefix(got, `"stagess"`) && !strings.HasPrefix(got, `"nam"`) && !strings.HasPrefix(got, `{"nam"`) && !strings.HasPrefix(got, `"ü"`) {
			t.Errorf("the mark is under %q", got)
		}
	}
}

func TestPartialIsSparseAndAtomic(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "disk.raw")
	p, err := newPartial(filepath.Split(target))
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 8<<20+100)
	copy(want[5<<20:], "here")
	want[len(want)-1] = 1
	for at := 0; at < len(want); at += 1 << 20 {
		if _, err := p.Write(want[at:min(at+1<<20, len(want))]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("the file has its name before it is whole")
	}
	if err := p.commit(int64(len(want)), false); err != nil {
		t.Fatal(err)
	}
	p.discard()
	got, err := os.ReadFile(target)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("content differs: %v", err)
	}
	st, _ := os.Stat(target)
	if used := st.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 || st.Mode().Perm() != 0o666&^callerUmask {
		t.Errorf("%d bytes on disk, mode %o", used, st.Mode().Perm())
	}
	q, err := newPartial(filepath.Split(target))
	if err != nil {
		t.Fatal(err)
	}
	q.discard()
	entries, _ := os.ReadDir(filepath.Dir(target))
	if len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
}

func TestKnown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "image")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("abc")
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	k := openKnown(dir)
	if !k.matches(file, 3, sum) || k.matches(file, 4, sum) || k.matches(file, 3, strings.Repeat("0", 64)) || k.matches(dir, 3, sum) {
		t.Error("a file is taken for what it is not")
	}
	k.save()
	k = openKnown(dir)
	if len(k.files) != 1 || !k.matches(file, 3, sum) {
		t.Errorf("not remembered: %v", k.files)
	}
	write("xyz")
	os.Chtimes(file, time.Now(), time.Now().Add(time.Hour))
	if k.matches(file, 3, sum) {
		t.Error("a file that was changed is taken for the old one")
	}
	os.WriteFile(filepath.Join(dir, "outputs.json"), []byte("{broken"), 0o644)
	if k := openKnown(dir); len(k.files) != 0 {
		t.Error("a broken file is believed")
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("Ab", 32)
	got := parseChecksums([]byte(sum + "  image.qcow2\n" + sum + "  ./dir/x y\nnonsense\nshort  z\n"))
	want := map[string]string{"image.qcow2": strings.ToLower(sum), "dir/x y": strings.ToLower(sum)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestContexts(t *testing.T) {
	t.Parallel()
	layout := t.TempDir()
	dgst := digest.FromString("x")
	index := fmt.Sprintf(`{"schemaVersion": 2, "manifests": [{"digest": "%s", "size": 1, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"annotations": {"org.opencontainers.image.ref.name": "v1"}}]}`, dgst)
	if err := os.WriteFile(filepath.Join(layout, "index.json"), []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		flags buildFlags
		want  map[string]string
		err   string
	}{
		{buildFlags{contexts: []string{"a=docker-image://debian:13"}}, map[string]string{"context:a": "docker-image://debian:13"}, ""},
		{buildFlags{contexts: []string{"a=" + layout}}, map[string]string{"context:a": "local:context-a"}, ""},
		{buildFlags{contexts: []string{"a=oci-layout://" + layout + ":v1"}}, map[string]string{"context:a": "oci-layout://context-a@" + dgst.String()}, ""},
		{buildFlags{toolbox: layout}, map[string]string{"context:toolbox": "oci-layout://context-toolbox@" + dgst.String()}, ""},
		{buildFlags{toolbox: "example.com/toolbox:1"}, map[string]string{"context:toolbox": "docker-image://example.com/toolbox:1"}, ""},
		{buildFlags{contexts: []string{"a"}}, nil, `--build-context "a": write NAME=VALUE`},
		{buildFlags{contexts: []string{"a=/nonexistent/dir"}}, nil, "--build-context a: "},
		{buildFlags{contexts: []string{"a=oci-layout:///nonexistent"}}, nil, "--build-context a: /nonexistent is not an OCI layout: it has no index.json"},
	}
	for _, c := range cases {
		opt := client.SolveOpt{FrontendAttrs: map[string]string{}, LocalMounts: map[string]fsutil.FS{}, OCIStores: map[string]content.Store{}}
		err := addContexts(&opt, &c.flags)
		if c.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("%v, want %s", err, c.err)
			}
			continue
		}
		if d := cmp.Diff(c.want, opt.FrontendAttrs); err != nil || d != "" {
			t.Errorf("%v %s", err, d)
		}
	}
}

func TestWatcher(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &watcher{out: &out, missing: []string{"login:", "ready"}, found: make(chan struct{}), crashed: make(chan struct{})}
	fmt.Fprint(w, "ready\nlog")
	select {
	case <-w.found:
		t.Fatal("found too early")
	default:
	}
	fmt.Fprint(w, "in: ")
	<-w.found
	if out.String() != "ready\nlogin: " {
		t.Errorf("%q", out.String())
	}
	fmt.Fprint(w, "Kernel panic - not syncing: VFS: Unable to mount root fs\n")
	select {
	case <-w.crashed:
		t.Fatal("a missing root file system is taken for a crash")
	default:
	}
	fmt.Fprint(w, "Kernel panic - not syncing: Fatal ")
	fmt.Fprint(w, "exception in interrupt\n")
	<-w.crashed
}

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// named has what options can name: a build argument, a secret, two pipelines.
const named = `{"args": {"host": {"type": "string", "default": "a"}},
"stages": [{"name": "org.osbuildkit.apt", "options": {"packages": ["a"], "auth": "mirror", "repos": [{"suite": "trixie"}]}},
 {"name": "org.osbuild.hostname", "options": {"hostname": {"$arg": "host"}}}],
"assembler": {"name": "org.osbuild.tar", "options": {"filename": "a.tar"}}}`

// An option that names nothing is an error, and says what may have been meant.
func TestNames(t *testing.T) {
	t.Parallel()
	const sum = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for _, c := range []struct {
		want string
		args []string
	}{
		{`--no-cache: no pipeline "tre" in <stdin>; did you mean "tree"?`, []string{"--no-cache=tre"}},
		{`--no-cache: no pipeline "bogus" in <stdin>; there are: tree, assembler, toolbox`, []string{"--no-cache=tree,bogus"}},
		{`--no-cache: no pipeline "" in <stdin>; there are: tree, assembler, toolbox`, []string{"--no-cache=tree,"}},
		{`--no-cache: no pipeline "build" in <stdin>; there are: tree, assembler, toolbox`, []string{"--no-cache=build"}},
		{`--no-cache: no pipeline "" in <stdin>; there are: tree, assembler, toolbox`, []string{"--no-cache="}},
		{`--no-cache: the target "tree" is not built from the pipeline "assembler", so no step of it runs; it is built from: tree, toolbox`,
			[]string{"--no-cache=assembler", "--target", "tree"}},
		{`--no-cache: no pipeline "toolbox" in <stdin>; there are: tree, assembler`, []string{"--no-cache=toolbox", "--toolbox", "docker-image://a"}},
		{`--no-cache: no pipeline "toolbox" in <stdin>; there are: tree, assembler`, []string{"--no-cache=toolbox", "--build-context", "toolbox=docker-image://a"}},
		{`--verify-reproducible: no pipeline "assembly" in <stdin>; did you mean "assembler"?`, []string{"--verify-reproducible=assembly"}},
		{`no target "asembler" in <stdin>; did you mean "assembler"?`, []string{"--target", "asembler"}},
		{`no target "bogus" in <stdin>; there are: tree, assembler, containerdisk`, []string{"--export", "bogus"}},
		{`--checkpoint "bogus": only the finished tree can be kept`, []string{"--checkpoint", "bogus"}},
		{`--build-context: the named context "toolbx" has no meaning; did you mean "toolbox"?`, []string{"--build-context", "toolbx=docker-image://a"}},
		{`--build-context: the named context "sha256:0000" is no checksum: write sha256: and 64 hex digits in lower case`, []string{"--build-context", "sha256:0000=a"}},
		{`--build-context: the named context "base" is not used: the manifest has no "base"`, []string{"--build-context", "base=docker-image://a"}},
		{`--build-context keys: it is given more than once`, []string{"--build-context", "keys=a", "--build-context", "keys=b"}},
		{`--build-context toolbox: it is given more than once`, []string{"--toolbox", "docker-image://a", "--build-context", "toolbox=docker-image://b"}},
		{`--secret: nothing in <stdin> names the secret "miror"; did you mean "mirror"?`, []string{"--secret", "id=miror,src=/dev/null"}},
		{`--platform: no image can be built for the platform linux/foo: there is no architecture "foo"; there are: amd64, arm64,`, []string{"--platform", "linux/amd64,linux/foo"}},
		{`--platform: no image can be built for the platform linux/adm64: there is no architecture "adm64"; did you mean "amd64"?`, []string{"--platform", "linux/adm64"}},
		{`<stdin>:1:2: the build argument "hots" is not declared and has no effect; did you mean "host"?`, []string{"--build-arg", "hots=a"}},
		{`<stdin>:1:2: the build argument "OSBUILDKIT_MIROR" is not declared and has no effect; did you mean "OSBUILDKIT_MIRROR"?`, []string{"--build-arg", "OSBUILDKIT_MIROR=a"}},
		{`<stdin>:1:2: BuildKit has no build argument "BUILDKIT_DOCKERFILE_CHEK"; did you mean "BUILDKIT_DOCKERFILE_CHECK"?`, []string{"--build-arg", "BUILDKIT_DOCKERFILE_CHEK=a"}},
		{`BUILDKIT_DOCKERFILE_CHECK: no rule "bogus"; 'osbuildkit check --rules' lists them`, []string{"--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=bogus"}},
		{`--mirror: mirror "mirror.example.org": give an http or https URL`, []string{"--mirror", "mirror.example.org"}},
		{`--mirror: mirror "ftp://x/debian": give an http or https URL`, []string{"--mirror", "ftp://x/debian"}},
		{`--build-arg OSBUILDKIT_MIRROR: mirror "http:///debian": give an http or https URL`, []string{"--build-arg", "OSBUILDKIT_MIRROR=http:///debian"}},
		{`--platform "linux/amd64,": a name between the commas is missing`, []string{"--platform", "linux/amd64,"}},
		// What exists goes on, to the builder that does not.
		{"", []string{"--no-cache=TREE,toolbox,assembler", "--verify-reproducible=tree", "--build-arg", "host=b", "--build-arg", "BUILDKIT_SYNTAX=x",
			"--build-arg", "OSBUILDKIT_MIRROR=http://x", "--build-context", "keys=.", "--build-context", sum + "=.", "--platform", "linux/arm64", "--secret", "id=mirror,env=HOME", "--secret", "type=env,id=GIT_AUTH_TOKEN,env=HOME"}},
	} {
		code, stdout, stderr := execute(t, named, append(append([]string{"build", "--builder", "unix:///nonexistent"}, c.args...), "-")...)
		switch {
		case c.want == "" && (code == exitInvalid || !strings.Contains(stderr, "/nonexistent")):
			t.Errorf("%q: code %d, %s", c.args, code, stderr)
		case c.want != "" && (code != exitInvalid || !strings.Contains(stderr, c.want) || stdout != ""):
			t.Errorf("%q: code %d\ngot  %swant %s", c.args, code, stderr, c.want)
		}
	}
}

// Both commands that look at a manifest say the same of it, with the same code.
func TestCheckAgreesWithBuild(t *testing.T) {
	t.Parallel()
	const base = `"base": "0000000000000000000000000000000000000000000000000000000000000000"`
	for text, want := range map[string]string{
		`{` + base + `, "stages": [{"name": "org.osbuildkit.apt", "options": {"packages": ["a"]}}]}`:                                                                 `a.json:1:89: "repos" is needed here`,
		`{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie", "mirror": "file:///x"}}]}`:                                                `a.json:1:93: "mirror" is "file:///x", which does not match the pattern ^https?://`,
		"# check=skip=bogus\n" + `{"stages": [{"name": "org.osbuild.noop"}]}`:                                                                                        `a.json:1:1: no rule "bogus"`,
		"# check=skip=all\n# check=error=true\n" + `{"stages": [{"name": "org.osbuild.noop"}]}`:                                                                      `a.json:2:1: there is more than one line`,
		"# check=skp=all\n" + `{"stages": [{"name": "org.osbuild.noop"}]}`:                                                                                           `a.json:1:1: invalid check option "skp"`,
		"# chek=skip=all\n" + `{"stages": [{"name": "org.osbuild.noop"}]}`:                                                                                           `a.json:1:1: unknown directive "chek"; did you mean "check"?`,
		`{"args": {"x": {"type": "string"}}, "stages": []}`:                                                                                                          `a.json:1:11: the build argument "x" is not given`,
		`{"pipeline": {"stages": [{"name": "org.osbuild.copy", "options": {"source": {"type": "archive", "checksum": "sha256:` + strings.Repeat("0", 64) + `"}}}]}}`: `no source has "sha256:`,
	} {
		file := filepath.Join(t.TempDir(), "a.json")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		code, _, checked := execute(t, "", "check", file)
		if code != exitInvalid || !strings.Contains(checked, want) {
			t.Errorf("check: code %d\ngot  %swant %s", code, checked, want)
		}
		code, _, built := execute(t, "", "build", "--builder", "unix:///nonexistent", file)
		if code != exitInvalid || built != checked {
			t.Errorf("build: code %d\n%scheck says\n%s", code, built, checked)
		}
	}
}

// The line "# check=" of a manifest means the same to the command that checks.
func TestCheckDirective(t *testing.T) {
	t.Parallel()
	const text = `{"stages": [{"name": "org.osbuild.users", "options": {"users": {"a": {"password": ""}}}}]}`
	for before, want := range map[string]int{
		"": 0, "# check=error=true\n": exitFailed, "// check = error=true\n": exitFailed, "# check=skip=LoginWithoutPassword;error=true\n": 0, "# check=skip=all;error=true\n": 0,
	} {
		if code, _, stderr := execute(t, before+text, "check", "-"); code != want {
			t.Errorf("%q: code %d, want %d: %s", before, code, want, stderr)
		}
	}
	if code, _, stderr := execute(t, "# check=error=true\n"+text, "check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", "-"); code != 0 {
		t.Errorf("the build argument does not count: code %d, %s", code, stderr)
	}
}

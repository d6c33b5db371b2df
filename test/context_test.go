//go:build e2e

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// contextManifest copies files of the context, and a text that is like that of no
// other run, so that nothing is in the cache.
func contextManifest(text string) object {
	from := func(source object, paths ...object) object {
		return stage("org.osbuild.copy", object{"source": source, "paths": paths})
	}
	context := func(path string) object { return object{"type": "context", "path": path} }
	return object{"stages": []any{
		from(object{"type": "inline", "data": "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:" + text + ":/:/bin/sh\n"}, object{"to": "/etc/passwd"}),
		from(context("files/motd"), object{"to": "/etc/motd", "mode": "0600", "user": "web"}),
		from(context("files/site"), object{"to": "/srv"}),
		from(object{"type": "context"}, object{"from": "/link", "to": "/opt/"}),
	}}
}

// writeContext writes a context as a client with the given umask has it.
func writeContext(t *testing.T, dir, text string, umask os.FileMode) {
	t.Helper()
	for name, mode := range map[string]os.FileMode{
		"files/motd": 0o666, "files/site/run": 0o777, "files/site/deep/page.html": 0o666, "files/site/left.out": 0o666, "beside": 0o666,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(name+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode&^umask); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(file), 0o777&^umask); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(file, 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link": "/files/site/deep", "files/site/shadow": "/etc/shadow"} {
		_ = os.Remove(filepath.Join(dir, name))
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte("**/left.out\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkContextTree looks at what was copied.
func checkContextTree(t *testing.T, archive, text string) {
	t.Helper()
	contents, got := map[string]string{}, map[string]string{}
	for name, e := range readTree(t, archive, func(name string, data []byte) { contents[name] = string(data) }) {
		if strings.HasPrefix(name, "srv/") || strings.HasPrefix(name, "opt/") || name == "etc/motd" {
			got[name] = fmt.Sprintf("%c %04o %d:%d %d %s%s", e.Typeflag, e.Mode, e.Uid, e.Gid, e.ModTime.Unix(), e.Linkname, contents[name])
		}
	}
	epoch := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	file := func(mode, owner, name string) string {
		return fmt.Sprintf("0 %s %s %d %s%s", mode, owner, epoch, name, text)
	}
	dir := fmt.Sprintf("5 0755 0:0 %d ", epoch)
	want := map[string]string{
		"etc/motd": file("0600", "33:0", "files/motd"), "srv/run": file("0755", "0:0", "files/site/run"),
		"srv/deep": dir, "srv/deep/page.html": file("0644", "0:0", "files/site/deep/page.html"),
		"srv/shadow": fmt.Sprintf("2 0777 0:0 %d /etc/shadow", epoch),
		"opt/link":   dir, "opt/link/page.html": file("0644", "0:0", "files/site/deep/page.html"),
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: %q, want %q", name, got[name], w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s was copied", name)
		}
	}
}

// contextRuns are the stages of contextManifest with these numbers.
func contextRuns(numbers ...int) []string {
	var out []string
	for _, n := range numbers {
		out = append(out, fmt.Sprintf("[tree %d/4] org.osbuild.copy", n))
	}
	return out
}

// stagesRun are the stages that have run, without the steps that prepare files of the
// context for them: these run if only a mode of the client is another.
func stagesRun(p *process) []string {
	return slices.DeleteFunc(p.ran(), func(s string) bool { return strings.HasSuffix(s, ": context") })
}

// TestContext copies files of the build context. What a client has of modes, owners
// and times makes no other tree, and runs nothing again; a file runs the stage that
// copies it, and those that follow.
func TestContext(t *testing.T) {
	need(t)
	text := strconv.FormatInt(time.Now().UnixNano(), 36)
	file, out := manifestFile(t, "image.json", contextManifest(text)), t.TempDir()
	dir := filepath.Dir(file)
	expect := func(what, text string, umask os.FileMode, want []string, args ...string) {
		t.Helper()
		writeContext(t, dir, text, umask)
		p := build(t, append(args, "--target", "tree", "-o", out)...)
		if ran := stagesRun(p); !slices.Equal(ran, want) {
			t.Errorf("%s: these ran: %q, want %q", what, ran, want)
		}
		checkContextTree(t, filepath.Join(out, "tree.tar"), text)
	}
	expect("the first build", text, 0o022, contextRuns(1, 2, 3, 4), file)
	expect("the same, of a client with another umask", text, 0o002, nil, file)
	if err := os.WriteFile(filepath.Join(dir, "beside"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	elsewhere := manifestFile(t, "other.json", contextManifest(text))
	expect("the same, with --context", text, 0o022, nil, "--context", dir, elsewhere)
	expect("other files", text+" changed", 0o022, contextRuns(2, 3, 4), file)

	// What only the last stage copies runs the last stage.
	m := object{"stages": []any{
		stage("org.osbuild.copy", object{"source": object{"type": "context", "path": "files/motd"}, "paths": []object{{"to": "/etc/motd"}}}),
		stage("org.osbuild.copy", object{"source": object{"type": "context", "path": "beside"}, "paths": []object{{"to": "/etc/beside"}}}),
	}}
	two := manifestFile(t, "two.json", m)
	build(t, "--context", dir, "--target", "tree", "-o", out, two)
	if err := os.WriteFile(filepath.Join(dir, "beside"), []byte("changed again"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := build(t, "--context", dir, "--target", "tree", "-o", out, two)
	if ran := stagesRun(p); !slices.Equal(ran, []string{"[tree 2/2] org.osbuild.copy"}) {
		t.Errorf("these ran: %q", ran)
	}
}

// TestFrontendContextFiles copies files of the context through buildx, after the
// command line has done so on the same daemon.
func TestFrontendContextFiles(t *testing.T) {
	needFrontend(t)
	text := strconv.FormatInt(time.Now().UnixNano(), 36)
	dir := buildDir(t, syntax(contextManifest(text)))
	writeContext(t, dir, text, 0o022)
	out := filepath.Join(t.TempDir(), "tree.tar")
	p := build(t, "--builder", frontend.daemon.address, "--target", "tree", "-o", filepath.Dir(out), filepath.Join(dir, "image.json"))
	if ran := stagesRun(p); !slices.Equal(ran, contextRuns(1, 2, 3, 4)) {
		t.Errorf("these ran: %q", ran)
	}
	checkContextTree(t, out, text)
	writeContext(t, dir, text, 0o002)
	p = buildxBuild(t, frontend.daemon, "--target", "tree", "-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir)
	if ran := stagesRun(p); len(ran) > 0 {
		t.Errorf("these ran through buildx: %q", ran)
	}
	checkContextTree(t, out, text)

	// What is missing is an error at its line, whoever finds it.
	if err := os.Remove(filepath.Join(dir, "files/motd")); err != nil {
		t.Fatal(err)
	}
	p = startBuildx(t, frontend.daemon, "--target", "tree", "-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir).wait()
	if want := `the context has no "files/motd"`; p.code() == 0 || !strings.Contains(p.text(), want) || !strings.Contains(p.text(), "image.json:") {
		t.Errorf("exit code %d, %s\nwant %s", p.code(), p.text(), want)
	}
}

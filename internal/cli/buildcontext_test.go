package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/tonistiigi/fsutil"
)

const contextCopy = `{"stages": [{"name": "org.osbuild.copy", "options": {"source": {"type": "context", "path": "files/motd"}, "paths": [{"to": "/etc/motd"}]}}]}`

// TestContextFiles wants files of the context to be looked for before a build is
// begun.
func TestContextFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, manifest string
		// files are in the directory of the manifest; those below other/ are given
		// with --context.
		files []string
		// ignore is the text of .dockerignore, own that for this manifest alone.
		ignore, own string
		args        []string
		code        int
		want        string
	}{
		{name: "there", files: []string{"files/motd"}},
		{name: "missing", code: 2, want: `image.json:1:92: the context has no "files/motd"; it is the directory `},
		{name: "elsewhere", files: []string{"other/files/motd"}, args: []string{"--context", "other"}},
		{name: "not elsewhere", files: []string{"files/motd", "other/x"}, args: []string{"--context", "other"}, code: 2, want: `the context has no "files/motd"`},
		{name: "no directory", args: []string{"--context", "none"}, code: 2, want: "--context: open "},
		{name: "of no use", manifest: `{"stages": [{"name": "org.osbuild.noop"}]}`, files: []string{"other/x"}, args: []string{"--context", "other"}, code: 2,
			want: "copies no file of the context"},
		{name: "ignored", files: []string{"files/motd"}, ignore: "files\n", code: 2, want: "its .dockerignore leaves it out"},
		{name: "not ignored by the manifest's own", files: []string{"files/motd"}, ignore: "files\n", own: "other\n"},
		{name: "ignored by the manifest's own", files: []string{"files/motd"}, own: "**/motd\n", code: 2, want: "its .dockerignore leaves it out"},
		{name: "an exception", files: []string{"files/motd"}, ignore: "files\n!files/motd\n"},
		{name: "out of the context", manifest: strings.Replace(contextCopy, "files/motd", "../motd", 1), code: 2, want: `"../motd" leads out of the context`},
		{name: "twice", manifest: strings.Replace(contextCopy, `[{"to": "/etc/motd"}]`, `[{"to": "/a"}, {"from": "/x"}]`, 1), code: 2,
			want: `the context has no "files/motd/x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			manifest := c.manifest
			if manifest == "" {
				manifest = contextCopy
			}
			write("image.json", manifest)
			for _, name := range c.files {
				write(name, "x")
			}
			if c.ignore != "" {
				write(".dockerignore", c.ignore)
			}
			if c.own != "" {
				write("image.json.dockerignore", c.own)
			}
			for i, arg := range c.args {
				if arg == "other" || arg == "none" {
					c.args[i] = filepath.Join(dir, arg)
				}
			}
			for _, command := range [][]string{{"check"}, {"build", "--builder", "unix:///nonexistent", "--store", filepath.Join(dir, "store")}} {
				args := append(append(command, c.args...), filepath.Join(dir, "image.json"))
				code, _, stderr := execute(t, "", args...)
				if command[0] == "build" && c.code == 0 {
					continue // there is no builder
				}
				if code != c.code || !strings.Contains(stderr, c.want) {
					t.Errorf("%s: exit code %d, want %d:\n%s\nwant %s", command[0], code, c.code, stderr, c.want)
				}
			}
		})
	}
	if code, _, stderr := execute(t, contextCopy, "check", "-"); code != 2 || !strings.Contains(stderr, "<stdin>:1:92: the manifest comes from standard input, so it lies in no directory") {
		t.Errorf("from standard input: %d, %s", code, stderr)
	}
	// Ids do not depend on what a directory holds.
	if code, _, stderr := execute(t, contextCopy, "inspect", "-"); code != 0 {
		t.Errorf("inspect: %d, %s", code, stderr)
	}
}

// The session has the context, and beside the manifest what is ignored for it.
func TestServeContext(t *testing.T) {
	t.Parallel()
	dir, beside := t.TempDir(), t.TempDir()
	own := filepath.Join(dir, "image.json.dockerignore")
	if err := os.WriteFile(own, []byte("a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	alone, err := fsutil.NewFS(beside)
	if err != nil {
		t.Fatal(err)
	}
	opt := client.SolveOpt{LocalMounts: map[string]fsutil.FS{}}
	if err := (&source{}).serveContext(&opt, beside, alone); err != nil || opt.LocalMounts["context"] != alone {
		t.Errorf("without a context: %v", err)
	}
	if err := (&source{context: dir, ownIgnore: own}).serveContext(&opt, beside, alone); err != nil || opt.LocalMounts["context"] == alone {
		t.Errorf("with a context: %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(beside, "image.json.dockerignore")); err != nil || string(data) != "a\n" {
		t.Errorf("beside the manifest is %q, %v", data, err)
	}
}

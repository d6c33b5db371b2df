package frontend

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/tonistiigi/fsutil/types"
)

// libFake is a gateway with a named context of modules.
type libFake struct {
	*fake
	files fstest.MapFS
	// err is what a local directory of the name "context" is answered with.
	err error
}

func (f *libFake) Solve(ctx context.Context, req gwclient.SolveRequest) (*gwclient.Result, error) {
	if _, err := f.fake.Solve(ctx, req); err != nil {
		return nil, err
	}
	if f.err != nil {
		for _, d := range req.Definition.GetDef() {
			if strings.Contains(string(d), "local://context") {
				return nil, f.err
			}
		}
	}
	res := gwclient.NewResult()
	res.SetRef(&libReference{reference{f: f.fake}, f.files})
	return res, nil
}

// libReference answers for the context and, by its name, the manifest.
type libReference struct {
	reference
	files fstest.MapFS
}

func (r *libReference) ReadDir(_ context.Context, req gwclient.ReadDirRequest) ([]*types.Stat, error) {
	name := strings.Trim(req.Path, "/")
	if name == "" {
		name = "."
	}
	entries, err := fs.ReadDir(r.files, name)
	if err != nil {
		return nil, err
	}
	var out []*types.Stat
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		out = append(out, &types.Stat{Path: e.Name(), Mode: uint32(info.Mode()), Size: info.Size()})
	}
	return out, nil
}

func (r *libReference) ReadFile(ctx context.Context, req gwclient.ReadRequest) ([]byte, error) {
	if strings.HasPrefix(req.Filename, "/stages/") || strings.HasPrefix(req.Filename, "/libdir/") {
		return fs.ReadFile(r.files, strings.TrimPrefix(req.Filename, "/"))
	}
	return r.reference.ReadFile(ctx, req)
}

func TestLibdir(t *testing.T) {
	t.Parallel()
	program := &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
	files := fstest.MapFS{
		"stages/org.example.motd":      program,
		"stages/org.example.motd.json": {Data: []byte(`{"sandbox": "inside", "schema": {"properties": {"text": {"type": "string"}}}}`), Mode: 0o644},
	}
	cases := []struct {
		name, manifest, want string
		files                fstest.MapFS
	}{
		{name: "used", manifest: `{"stages": [{"name": "org.example.motd", "options": {"text": "a"}}]}`, files: files},
		{name: "options", manifest: `{"stages": [{"name": "org.example.motd", "options": {"text": 1}}]}`, files: files,
			want: `image.json:1:62: "text" must be a string, found the number 1 (at /stages/0/options/text)`},
		{name: "link", manifest: `{"stages": [{"name": "a"}]}`, files: fstest.MapFS{"stages/a": {Mode: fs.ModeSymlink | 0o777, Data: []byte("/etc/passwd")}},
			want: `image.json:1:13: stages/a is a link; put the program itself there (at /stages/0)`},
		{name: "empty", manifest: `{"stages": [{"name": "a"}]}`, files: fstest.MapFS{},
			want: `the named context "libdir": libdir holds neither stages/ nor assemblers/: modules of your own are stages/NAME and assemblers/NAME`},
		{name: "bad description", manifest: `{"stages": [{"name": "a"}]}`, files: fstest.MapFS{"stages/a": program, "stages/a.json": {Data: []byte("{"), Mode: 0o644}},
			want: `libdir/stages/a.json:1:2: expected a key or "}", found the end of the file; the "{" at 1:1 is not closed`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &libFake{fake: newFake(c.manifest), files: c.files}
			f.opts["context:libdir"] = "local:context-libdir"
			_, err := Build(t.Context(), f, config())
			if c.want != "" {
				if err == nil || err.Error() != c.want {
					t.Errorf("got  %v\nwant %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for _, d := range f.solved[len(f.solved)-1].Def {
				text.Write(d)
			}
			for _, want := range []string{"osbuildkit-runner-programs", "/run/osbuild/module/org.example.motd", "org.osbuildkit.prepare", `"assemblers","stages"`} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("the graph has no %s", want)
				}
			}
		})
	}
}

// under moves files into a directory.
func under(dir string, files fstest.MapFS) fstest.MapFS {
	out := fstest.MapFS{}
	for name, f := range files {
		out[dir+"/"+name] = f
	}
	return out
}

// Modules in libdir/ of the context are found, without a context there are
// none, and a named context goes first.
func TestContextLibdir(t *testing.T) {
	t.Parallel()
	program := &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
	files := fstest.MapFS{"stages/org.example.motd": program, "stages/org.example.motd.d/x": program,
		"stages/org.example.motd.json": {Data: []byte(`{"sandbox": "inside"}`), Mode: 0o644}}
	const text = `{"stages": [{"name": "org.example.motd"}]}`
	const unknown = `image.json:1:22: unknown stage "org.example.motd" (at /stages/0/name); "osbuildkit stages" lists what exists`
	cases := []struct {
		name, want string
		files      fstest.MapFS
		opts       map[string]string
		err        error
	}{
		{name: "found", files: under("libdir", files)},
		{name: "no libdir", files: under("other", files), want: unknown},
		{name: "no modules", files: under("libdir", under("other", files)), want: unknown},
		{name: "no context", err: errors.New(`rpc error: code = NotFound desc = no access allowed to dir "context"`), want: unknown},
		{name: "named context", files: files, opts: map[string]string{"context:libdir": "local:context-libdir"}},
		{name: "bad description", files: under("libdir", fstest.MapFS{"stages/a": program, "stages/a.json": {Data: []byte("{"), Mode: 0o644}}),
			want: `libdir/stages/a.json:1:2: expected a key or "}", found the end of the file; the "{" at 1:1 is not closed`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &libFake{fake: newFake(text), files: c.files, err: c.err}
			maps.Copy(f.opts, c.opts)
			cfg := config()
			cfg.ContextLibdir = true
			_, err := Build(t.Context(), f, cfg)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if c.err == nil && c.name == "found" {
				var text strings.Builder
				for _, d := range f.solved[len(f.solved)-1].Def {
					text.Write(d)
				}
				for _, want := range []string{"/libdir/stages/org.example.motd", "/libdir/stages/org.example.motd.d"} {
					if !strings.Contains(text.String(), want) {
						t.Errorf("the graph has no %s", want)
					}
				}
			}
		})
	}
}

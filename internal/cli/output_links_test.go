package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// oneFile is a result with the file sub/deep/file.
type oneFile struct{ gwclient.Reference }

func (oneFile) ReadDir(_ context.Context, req gwclient.ReadDirRequest) ([]*types.Stat, error) {
	switch req.Path {
	case "/":
		return []*types.Stat{{Path: "sub", Mode: uint32(os.ModeDir | 0o755)}}, nil
	case "/sub":
		return []*types.Stat{{Path: "deep", Mode: uint32(os.ModeDir | 0o755)}, {Path: "empty", Mode: uint32(os.ModeDir | 0o755)}}, nil
	case "/sub/deep":
		return []*types.Stat{{Path: "file", Mode: 0o644, Size: 4}}, nil
	}
	return nil, nil
}

func (oneFile) ReadFile(context.Context, gwclient.ReadRequest) ([]byte, error) {
	return []byte("text"), nil
}

// within fails a test that hangs.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
}

// A result goes below the output directory or nowhere, whatever lies there.
func TestResultFollowsNoLinks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant func(out, elsewhere string) error
		wrong bool
	}{
		"nothing": {func(string, string) error { return nil }, false},
		"a link in the place of a directory": {func(out, elsewhere string) error {
			return os.Symlink(elsewhere, filepath.Join(out, "sub"))
		}, true},
		"a link further down": {func(out, elsewhere string) error {
			if err := os.Mkdir(filepath.Join(out, "sub"), 0o755); err != nil {
				return err
			}
			return os.Symlink(elsewhere, filepath.Join(out, "sub/deep"))
		}, true},
		"a link in the place of an empty directory": {func(out, elsewhere string) error {
			if err := os.Mkdir(filepath.Join(out, "sub"), 0o755); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(elsewhere, "made"), filepath.Join(out, "sub/empty"))
		}, true},
		"a link that stays inside": {func(out, _ string) error {
			if err := os.Mkdir(filepath.Join(out, "other"), 0o755); err != nil {
				return err
			}
			return os.Symlink("other", filepath.Join(out, "sub"))
		}, true},
		// A name that is a link is replaced, not followed.
		"a link in the place of the file": {func(out, elsewhere string) error {
			if err := os.MkdirAll(filepath.Join(out, "sub/deep"), 0o755); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(elsewhere, "victim"), filepath.Join(out, "sub/deep/file"))
		}, false},
		"a pipe in the place of the file": {func(out, _ string) error {
			if err := os.MkdirAll(filepath.Join(out, "sub/deep"), 0o755); err != nil {
				return err
			}
			return unix.Mkfifo(filepath.Join(out, "sub/deep/file"), 0o644)
		}, false},
		"a pipe that looks like an unfinished file": {func(out, _ string) error {
			if err := os.MkdirAll(filepath.Join(out, "sub/deep"), 0o755); err != nil {
				return err
			}
			return unix.Mkfifo(filepath.Join(out, "sub/deep/.file.1.part"), 0o644)
		}, false},
		"a link that looks like an unfinished file": {func(out, elsewhere string) error {
			if err := os.MkdirAll(filepath.Join(out, "sub/deep"), 0o755); err != nil {
				return err
			}
			fifo := filepath.Join(elsewhere, "fifo")
			if err := unix.Mkfifo(fifo, 0o644); err != nil {
				return err
			}
			return os.Symlink(fifo, filepath.Join(out, "sub/deep/.file.2.part"))
		}, false},
		"an output directory that is a link": {func(out, _ string) error {
			if err := os.Rename(out, out+".real"); err != nil {
				return err
			}
			return os.Symlink(out+".real", out)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			out, elsewhere := filepath.Join(dir, "out"), filepath.Join(dir, "elsewhere")
			for _, d := range []string{out, elsewhere} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			victim := filepath.Join(elsewhere, "victim")
			if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := c.plant(out, elsewhere); err != nil {
				t.Fatal(err)
			}
			before := listing(t, elsewhere)
			r := &request{flags: &buildFlags{outputDir: out}}
			r.flags.store = filepath.Join(dir, "store")
			var err error
			within(t, func() { _, err = r.download(t.Context(), oneFile{}, "") })
			if c.wrong && (err == nil || !strings.Contains(err.Error(), "link")) || !c.wrong && err != nil {
				t.Errorf("error %v", err)
			}
			if after := listing(t, elsewhere); after != before {
				t.Errorf("elsewhere: %s, before %s", after, before)
			}
			if data, err := os.ReadFile(victim); err != nil || string(data) != "mine" {
				t.Errorf("the file elsewhere has %q, %v", data, err)
			}
			if c.wrong {
				return
			}
			if st, err := os.Lstat(filepath.Join(out, "sub/deep/file")); err != nil || !st.Mode().IsRegular() || st.Size() != 4 {
				t.Errorf("%v, %v", st, err)
			}
		})
	}
}

// A link that appears between the look and the write is not followed either.
func TestPartialFollowsNoLinkThatAppears(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, elsewhere := filepath.Join(dir, "out"), filepath.Join(dir, "elsewhere")
	for _, d := range []string{out + "/sub", elsewhere} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p, err := newPartial(out, "sub/file")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(out+"/sub", out+"/was"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, out+"/sub"); err != nil {
		t.Fatal(err)
	}
	if err := p.commit(0, false); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, elsewhere); strings.Contains(got, "file") {
		t.Errorf("elsewhere: %s", got)
	}
	if _, err := os.Lstat(out + "/was/file"); err != nil {
		t.Error(err)
	}
	if _, err := newPartial(out, "sub/file"); err == nil || !strings.Contains(err.Error(), "is a link, and a result follows none") {
		t.Error(err)
	}
}

// What has the files of a tree that only root can read is for the user alone.
func TestArchivesArePrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &request{flags: &buildFlags{outputDir: filepath.Join(dir, "out")}}
	for _, target := range []string{manifest.TreePipeline, "containerdisk"} {
		opt, err := archiveOptions(r, target)
		if err != nil {
			t.Fatal(err)
		}
		w, err := opt.Exports[0].Output(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("an archive")); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(r.flags.outputDir)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%v, %v", entries, err)
		}
		for _, e := range entries { // before it is whole, too
			if st, err := e.Info(); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v", e.Name(), st.Mode(), err)
			}
		}
		file, err := opt.archive.commit()
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(file.Path)
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file.Path, st.Mode(), err)
		}
		if err := os.Remove(file.Path); err != nil {
			t.Fatal(err)
		}
	}
}

// archiveExport is an export that is under way.
type archiveExport struct {
	client.SolveOpt
	archive *archiveFile
}

func archiveOptions(r *request, target string) (out archiveExport, err error) {
	out.archive, err = r.exportArchive(&out.SolveOpt, target)
	return out, err
}

// A local cache has layers with the same files.
func TestCachesArePrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.Mkdir(there, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{there: 0o755, filepath.Join(dir, "a/b/cache"): 0o700, filepath.Join(dir, "slash") + "/": 0o700} {
		err := makeCaches([]client.CacheOptionsEntry{{Type: "registry"}, {Type: "local", Attrs: map[string]string{"dest": name}}})
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

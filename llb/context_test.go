package llb

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/solver/pb"
)

const contextManifest = `{
  "build": {"stages": [{"name": "org.osbuild.copy", "options": {"source": {"type": "context", "path": "z"}, "paths": [{"to": "/z"}]}}]},
  "stages": [
    {"name": "org.osbuild.copy", "options": {"source": {"type": "context", "path": "files"},
      "paths": [{"from": "/a"}, {"from": "/b/c"}]}},
    {"name": "org.osbuild.copy", "options": {"source": {"type": "context", "path": "files/b"}, "paths": [{"to": "/etc"}]}},
    {"name": "org.osbuild.copy", "options": {"source": {"type": "inline", "data": "files/d"}, "paths": [{"to": "/etc/x"}]}}]
}`

func TestContextNames(t *testing.T) {
	t.Parallel()
	m := testManifest(t, contextManifest)
	if diff := cmp.Diff([]string{"files/a", "files/b", "z"}, ContextNames(m.Pipelines)); diff != "" {
		t.Error(diff)
	}
	tree := m.Pipeline("tree")
	if diff := cmp.Diff([]string{"a", "a-b", "b"}, outermost([]string{"b", "a/c", "a-b", "a", "b/c/d"})); diff != "" {
		t.Error(diff)
	}
	asked := 0
	wrong := CheckContext(m, m.Pipelines[len(m.Pipelines)-1:], func(name string) error {
		asked++
		if strings.HasPrefix(name, "files/b") {
			return errors.New("no " + name)
		}
		return nil
	})
	if tree == nil || len(wrong) != 2 || asked != 3 {
		t.Fatalf("%d times asked, %v", asked, wrong)
	}
	if wrong[0].Position.Line != 5 || wrong[0].Pointer != "/stages/0/options/paths/1/from" || wrong[1].Pointer != "/stages/1/options/source/path" {
		t.Errorf("%v", wrong)
	}
}

// Files of the context are mounted so that their content is the key, and trees
// beside them still are not.
func TestContextByContent(t *testing.T) {
	t.Parallel()
	opt := options(t)
	withContext(&opt)
	m := testManifest(t, `{"stages": [{"name": "org.osbuild.copy", "options": {"source": {"type": "context", "path": "a"}, "paths": [{"to": "/a"}]}}]}`)
	found := 0
	for _, op := range parse(t, define(t, m, opt, "tree")) {
		for _, mount := range op.op.GetExec().GetMounts() {
			if mount.MountType != pb.MountType_BIND || mount.Input < 0 {
				continue
			}
			want := pb.MountContentCache_OFF
			if mount.Dest == inputsDir+"/source" {
				found++
				want = pb.MountContentCache_DEFAULT
				if !mount.Readonly {
					t.Error("the files of the context can be written")
				}
			}
			if mount.Dest != "/" && mount.ContentCache != want {
				t.Errorf("%s: content cache %s", mount.Dest, mount.ContentCache)
			}
		}
	}
	// One of what the client has sent, and one of what was made of it.
	if found != 2 {
		t.Errorf("%d mounts of the context", found)
	}
	opt.Context = nil
	if _, err := New(m, opt).Pipeline(t.Context(), "tree"); err == nil || !strings.Contains(err.Error(), "no context") {
		t.Errorf("without a context: %v", err)
	}
}

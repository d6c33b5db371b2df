package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

const testContexts = "etc/selinux/x/file_contexts"

func selinuxTree() treetest.Tree {
	return treetest.Tree{
		testContexts:               treetest.File("/ -d u:r:root\n/.* u:r:any\n/etc(/.*)? u:r:etc\n/etc/shadow -- u:r:shadow\n/srv/.* <<none>>\n/home/[^/]+ -d u:r:wrong\n"),
		testContexts + ".homedirs": treetest.File("/home/[^/]+ -d u:r:home\n"),
		testContexts + ".local":    treetest.File("/etc/issue u:r:local\n"),
		testContexts + ".subs":     treetest.File("/data /etc\n"),
		"data/shadow":              treetest.File(""),
		"etc/issue":                treetest.Link("../usr/issue"),
		"etc/shadow":               treetest.File(""),
		"home/me":                  treetest.Dir(0o755),
		"srv/a":                    treetest.File(""),
		"usr/issue":                treetest.File(""),
	}
}

// runSELinuxStage runs the stage and returns the labels in the ledger, without
// the byte at their ends.
func runSELinuxStage(t *testing.T, dir, ledgerDir, options string) (map[string]string, error) {
	t.Helper()
	var log bytes.Buffer
	err := selinuxStage.Run(context.Background(), &module.Input{
		Tree: dir, Ledger: ledgerDir, Options: json.RawMessage(options), Epoch: testEpoch, Log: &log,
	})
	l, lerr := ledger.Load(ledgerDir)
	if lerr != nil {
		t.Fatal(lerr)
	}
	got := map[string]string{}
	for _, name := range l.Paths() {
		got[name] = strings.TrimSuffix(string(l.Lookup(name)[ledger.Label]), "\x00")
	}
	return got, err
}

// all is what the policy of selinuxTree says.
func allLabels(but ...string) map[string]string {
	out := map[string]string{
		"/": "u:r:root", "/data": "u:r:etc", "/data/shadow": "u:r:shadow", "/etc": "u:r:etc", "/etc/issue": "u:r:local", "/etc/selinux": "u:r:etc",
		"/etc/selinux/x": "u:r:etc", "/etc/shadow": "u:r:shadow", "/home": "u:r:any", "/home/me": "u:r:home", "/srv": "u:r:any",
		"/usr": "u:r:any", "/usr/issue": "u:r:any",
	}
	for _, end := range []string{"", ".homedirs", ".local", ".subs"} {
		out["/"+testContexts+end] = "u:r:etc"
	}
	for i := 0; i < len(but); i += 2 {
		if out[but[i]] = but[i+1]; but[i+1] == "" {
			delete(out, but[i])
		}
	}
	return out
}

func TestSELinux(t *testing.T) {
	t.Parallel()
	const contexts = `"file_contexts": "` + testContexts + `"`
	for _, c := range []struct {
		name, options string
		want          map[string]string
		stamp         string
		err           string
	}{
		{name: "all", options: `{` + contexts + `}`, want: allLabels()},
		{name: "absolute", options: `{"file_contexts": "tree:///` + testContexts + `", "target": "tree:///"}`, want: allLabels()},
		{name: "a directory", options: `{` + contexts + `, "target": "tree:///home/"}`, want: map[string]string{"/home": "u:r:any", "/home/me": "u:r:home"}},
		{name: "a file", options: `{` + contexts + `, "target": "tree:///etc/shadow"}`, want: map[string]string{"/etc/shadow": "u:r:shadow"}},
		{name: "excluded", options: `{` + contexts + `, "exclude_paths": ["/data", "home/", "/etc/issue", "/usr/issu", "/../srv"]}`,
			want: allLabels("/data", "", "/data/shadow", "", "/home", "", "/home/me", "", "/etc/issue", "", "/srv", "")},
		{name: "excluded below the target", options: `{` + contexts + `, "target": "tree:///home", "exclude_paths": ["/me"]}`, want: map[string]string{"/home": "u:r:any"}},
		{name: "all excluded", options: `{` + contexts + `, "target": "tree:///home", "exclude_paths": ["/"]}`, want: map[string]string{}},
		{name: "labels", options: `{` + contexts + `, "labels": {"/srv/a": "u:r:a:s0", "tree:///etc/issue": "u:r:b"}}`, want: allLabels("/srv/a", "u:r:a:s0", "/usr/issue", "u:r:b")},
		{name: "labels alone", options: `{"labels": {"/srv": "u:r:a:s0-s0:c0.c1023"}}`, want: map[string]string{"/srv": "u:r:a:s0-s0:c0.c1023"}},
		{name: "again at boot", options: `{` + contexts + `, "force_autorelabel": true}`, want: allLabels("/.autorelabel", "u:r:any"), stamp: ".autorelabel"},
		{name: "again at boot, a target", options: `{"labels": {"/srv": "u:r:a"}, "target": "tree:///usr", "force_autorelabel": true}`, want: map[string]string{"/srv": "u:r:a"}, stamp: "usr/.autorelabel"},
		{name: "no policy", options: `{"file_contexts": "/etc/nothing"}`, err: "file_contexts: "},
		{name: "no target", options: `{` + contexts + `, "target": "tree:///nothing"}`, err: "target: "},
		{name: "no such file", options: `{` + contexts + `, "labels": {"/nothing": "u:r:t"}, "force_autorelabel": true}`, err: "/nothing: there is no such file"},
		{name: "not a policy", options: `{"file_contexts": "` + testContexts + `.subs", "force_autorelabel": true}`, err: "the policy has the invalid label"},
		{name: "not an expression", options: `{"file_contexts": "usr/bad"}`, err: "/usr/bad, line 1: the regular expression"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := selinuxTree()
			if c.err != "" {
				before["usr/bad"] = treetest.File("/( u:r:t\n")
			}
			dir := treetest.New(t, before)
			state := treetest.Read(t, dir)
			got, err := runSELinuxStage(t, dir, t.TempDir(), c.options)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want one with %q", err, c.err)
			}
			if c.err != "" {
				c.want = map[string]string{}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			after := treetest.Read(t, dir)
			if c.stamp != "" {
				if after[c.stamp].Data != "-F" {
					t.Errorf("%s holds %q", c.stamp, after[c.stamp].Data)
				}
				delete(after, c.stamp)
			}
			if diff := treetest.Unchanged(state, after); diff != "" {
				t.Errorf("the tree has changed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSELinuxHardLinks labels a file by all of its names.
func TestSELinuxHardLinks(t *testing.T) {
	t.Parallel()
	linked := func() string {
		dir := treetest.New(t, selinuxTree())
		for _, name := range []string{"usr/other", "srv/0"} {
			if err := os.Link(filepath.Join(dir, "etc/shadow"), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	const three = "\n/etc/shadow\n/srv/0\n/usr/other"
	for options, want := range map[string]string{
		`{"file_contexts": "` + testContexts + `"}`:                                                         "u:r:shadow",
		`{"labels": {"/usr/other": "u:r:x"}}`:                                                               "u:r:x",
		`{"file_contexts": "` + testContexts + `", "labels": {"/srv/0": "u:r:y"}}`:                          "u:r:y",
		`{"file_contexts": "` + testContexts + `", "target": "tree:///srv", "labels": {"/srv/0": "u:r:z"}}`: "u:r:z",
	} {
		got, err := runSELinuxStage(t, linked(), t.TempDir(), options)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(three) {
			if got[name] != want {
				t.Errorf("%s: %s has the label %q, not %q", options, name, got[name], want)
			}
		}
	}
}

// TestSELinuxKeepsOtherAttributes replaces labels and nothing else.
func TestSELinuxKeepsOtherAttributes(t *testing.T) {
	t.Parallel()
	at := t.TempDir()
	var l ledger.Ledger
	for _, name := range []string{"/etc/shadow", "/srv/a"} {
		for _, attribute := range []string{ledger.Label, "user.note"} {
			if err := l.Set(name, attribute, []byte("old")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Save(at, mustStat(t, at).ModTime()); err != nil {
		t.Fatal(err)
	}
	if _, err := runSELinuxStage(t, treetest.New(t, selinuxTree()), at, `{"file_contexts": "`+testContexts+`"}`); err != nil {
		t.Fatal(err)
	}
	after, err := ledger.Load(at)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"/etc/shadow": "u:r:shadow\x00", "/srv/a": "old"} {
		a := after.Lookup(name)
		if string(a[ledger.Label]) != want || string(a["user.note"]) != "old" {
			t.Errorf("%s has %q", name, a)
		}
	}
}

func mustStat(t *testing.T, name string) fs.FileInfo {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestSELinuxNeedsALedger(t *testing.T) {
	t.Parallel()
	if _, err := runStage(t, "org.osbuild.selinux", treetest.New(t, selinuxTree()), `{"file_contexts": "`+testContexts+`"}`); err == nil || !strings.Contains(err.Error(), "ledger") {
		t.Errorf("error %v", err)
	}
}

func TestSELinuxCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.selinux", []checkCase{
		{`{"file_contexts": "a"}`, nil},
		{`{"labels": {"tree:///a": "u:r:t"}, "target": "tree:///x"}`, nil},
		{`{"force_autorelabel": true}`, []string{": give \"file_contexts\""}},
		{`{"file_contexts": "input://x/a", "target": "mount://root/", "exclude_paths": [""]}`, []string{"/exclude_paths/0: not a path", "/file_contexts: not a path in the tree", "/target: the tree alone"}},
		{`{"labels": {"a": "u:r:t", "/b~": "u:r", "/c": "u:r:t x", "/d": "u::t:s0"}}`, []string{"/labels/a: absolute", "/labels/~1b~0: not a label", "/labels/~1c: not a label", "/labels/~1d: not a label"}},
		{`{"file_contexts": 1}`, []string{": "}},
		{`{"file_context": "a"}`, []string{": unknown field"}},
	})
}

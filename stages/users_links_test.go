package stages

import (
	"os"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// A link in the place of a directory of a user: what it leads to is the user's
// own, and what lies on the way is not.
func TestUsersHomeThroughLink(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("giving files to another user needs root")
	}
	b := accountsTree().Without("etc/skel/.profile", "etc/skel/.link", "etc/skel/bin/run").With(treetest.Tree{"etc/login.defs": treetest.File("UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\nUMASK 022\nHOME_MODE 0700\nPASS_MAX_DAYS 99999\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 7\n")})
	plain := newUser("new", "new:x:1001:1001::/home/new:/bin/sh")
	own := func(mode os.FileMode) treetest.Node { return treetest.Dir(mode).Owner(1001, 1001) }
	runCases(t, "org.osbuild.users", []treeCase{
		{name: "the home", before: b.With(treetest.Tree{"home/new": treetest.Link("/srv/data/homes/new")}), options: `{"users": {"new": {"home": "/home/new"}}}`,
			after: join(plain, treetest.Tree{"srv": treetest.Dir(0o755), "srv/data": treetest.Dir(0o755), "srv/data/homes": treetest.Dir(0o755), "srv/data/homes/new": own(0o700)})},
		{name: "through two links", before: b.With(treetest.Tree{"home/new": treetest.Link("../var/h/new"), "var/h": treetest.Link("/srv/x/y")}), options: `{"users": {"new": {"home": "/home/new"}}}`,
			after: join(plain, treetest.Tree{"srv": treetest.Dir(0o755), "srv/x": treetest.Dir(0o755), "srv/x/y": treetest.Dir(0o755), "srv/x/y/new": own(0o700)})},
		{name: "the keys", before: b.With(treetest.Tree{"home/new": own(0o700), "home/new/.ssh": treetest.Link("/srv/keys/of/new")}), options: `{"users": {"new": {"key": "k"}}}`,
			after: join(plain, treetest.Tree{"srv": treetest.Dir(0o755), "srv/keys": treetest.Dir(0o755), "srv/keys/of": treetest.Dir(0o755), "srv/keys/of/new": own(0o700),
				"srv/keys/of/new/authorized_keys": treetest.File("k\n").Perm(0o600).Owner(1001, 1001)})},
		{name: "the directory of homes", before: b.Without("home/old").With(treetest.Tree{"home": treetest.Link("var/home")}), options: `{"users": {"new": {"home": "/home/new"}}}`,
			after: join(plain, treetest.Tree{"var": treetest.Dir(0o755), "var/home": treetest.Dir(0o755), "var/home/new": own(0o700)})},
	})
}

// The directory that ext4 makes has the label that the policy has for it.
func TestSELinuxLostAndFound(t *testing.T) {
	t.Parallel()
	before := treetest.Tree{
		testContexts: treetest.File("/ -d u:r:root\n/.* u:r:any\n/var(/.*)? u:r:var\n/lost\\+found -d u:r:lost\n/lost\\+found/.* <<none>>\n/var/lost\\+found -d u:r:varlost\n/home/[^/]+ -d u:r:home\n/a/b/c/d/lost\\+found -d u:r:deep\n"),
		"var/lib":    treetest.Dir(0o755), "home": treetest.Dir(0o755), "a/b/c/d": treetest.Dir(0o755),
	}
	got, err := runSELinuxStage(t, treetest.New(t, before), t.TempDir(), `{"file_contexts": "`+testContexts+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/lost+found": "u:r:lost", "/var/lost+found": "u:r:varlost", "/home/lost+found": "", "/var/lib/lost+found": "", "/a/b/c/d/lost+found": "", "/var/lib": "u:r:var",
	} {
		if got[name] != want {
			t.Errorf("%s has the label %q, not %q", name, got[name], want)
		}
	}
	// One that the tree has is as any other file.
	got, err = runSELinuxStage(t, treetest.New(t, before.With(treetest.Tree{"lost+found": treetest.Dir(0o700)})), t.TempDir(), `{"file_contexts": "`+testContexts+`"}`)
	if err != nil || got["/lost+found"] != "u:r:lost" {
		t.Errorf("%q, %v", got["/lost+found"], err)
	}
}

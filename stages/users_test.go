package stages

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func accountsTree() treetest.Tree {
	return treetest.Tree{
		"etc/passwd":          treetest.File("root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000:Old:/home/old:/bin/sh\n"),
		"etc/shadow":          treetest.File("root:*:18000:0:99999:7:::\nold:!:18000:0:99999:7:::\n").Perm(0o640).Owner(0, 42),
		"etc/group":           treetest.File("root:x:0:\nwheel:x:10:root,old\nshadow:x:42:\nold:x:1000:\n"),
		"etc/gshadow":         treetest.File("root:*::\nwheel:::root,old\nshadow:*::\nold:!::\n").Perm(0o640).Owner(0, 42),
		"etc/subuid":          treetest.File("old:100000:65536\n"),
		"etc/subgid":          treetest.File("old:100000:65536\n"),
		"etc/login.defs":      treetest.File("# x\nUID_MIN 1000\nUID_MAX\t60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\nUMASK 022\nPASS_MAX_DAYS 99999\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 7\n"),
		"etc/default/useradd": treetest.File("SHELL=/bin/sh\n"),
		"etc/skel/.profile":   treetest.File("hello\n"),
		"etc/skel/bin/run":    treetest.File("x").Perm(0o750),
		"etc/skel/.link":      treetest.Link(".profile"),
		"home/old":            treetest.Dir(0o755).Owner(1000, 1000),
		"root":                treetest.Dir(0o700),
	}
}

// edit returns a node of the tree with a text added or replaced.
func edit(t treetest.Tree, name string, oldNew ...string) treetest.Tree {
	n := t[name]
	if len(oldNew) == 1 {
		n.Data += oldNew[0]
	} else {
		n.Data = strings.NewReplacer(oldNew...).Replace(n.Data)
	}
	return treetest.Tree{name: n}
}

// newUser is what adding a plain user changes in accountsTree.
func newUser(name, passwd string) treetest.Tree {
	b := accountsTree()
	return join(edit(b, "etc/passwd", passwd+"\n"), edit(b, "etc/shadow", name+":!:18518:0:99999:7:::\n"),
		edit(b, "etc/group", name+":x:1001:\n"), edit(b, "etc/gshadow", name+":!::\n"),
		edit(b, "etc/subuid", name+":165536:65536\n"), edit(b, "etc/subgid", name+":165536:65536\n"))
}

func TestUsersFiles(t *testing.T) {
	t.Parallel()
	b := accountsTree()
	runCases(t, "org.osbuild.users", []treeCase{
		{name: "nobody", before: b, options: `{"users": {}}`},
		{name: "new", before: b, options: `{"users": {"new": {}}}`, after: newUser("new", "new:x:1001:1001::/home/new:/bin/sh"), log: "uid 1001"},
		{name: "all fields", before: b, options: `{"users": {"new": {"uid": "2000", "gid": 10, "groups": ["shadow"], "description": "A B", "home": "",
			"shell": "/bin/bash", "password": "` + goodHash + `", "expiredate": 20000}}}`,
			after: join(edit(b, "etc/passwd", "new:x:2000:10:A B:/home/new:/bin/bash\n"), edit(b, "etc/shadow", "new:"+goodHash+":18518:0:99999:7::20000:\n"),
				edit(b, "etc/group", "shadow:x:42:", "shadow:x:42:new"), edit(b, "etc/gshadow", "shadow:*::", "shadow:*::new"),
				edit(b, "etc/subuid", "new:165536:65536\n"), edit(b, "etc/subgid", "new:165536:65536\n"))},
		{name: "gid by name, system uid", before: b, options: `{"users": {"svc": {"uid": 500, "gid": "wheel"}}}`,
			after: join(edit(b, "etc/passwd", "svc:x:500:10::/home/svc:/bin/sh\n"), edit(b, "etc/shadow", "svc:!:18518:0:99999:7:::\n"))},
		{name: "no user groups", before: b.With(treetest.Tree{"etc/login.defs": treetest.File(""), "etc/default/useradd": treetest.File("GROUP=10\n# \nHOME=/srv\nINACTIVE=3\n")}).Without("etc/subuid", "etc/subgid"),
			options: `{"users": {"new": {}}}`,
			after:   join(edit(b, "etc/passwd", "new:x:1001:10::/srv/new:/bin/sh\n"), edit(b, "etc/shadow", "new:!:18518::::3::\n"))},
		{name: "before the lines of NIS", before: b.With(treetest.Tree{"etc/group": treetest.File("wheel:x:10:\n+\n"), "etc/passwd": treetest.File("root:x:0:0::/:\n+::::::\n")}).Without("etc/subuid", "etc/subgid"),
			options: `{"users": {"new": {"gid": 10}}}`,
			after: join(treetest.Tree{"etc/passwd": treetest.File("root:x:0:0::/:\nnew:x:1000:10::/home/new:/bin/sh\n+::::::\n")},
				edit(b, "etc/shadow", "new:!:18518:0:99999:7:::\n"))},
		{name: "reset and no password", before: b, options: `{"users": {"root": {"password": "", "force_password_reset": true}}}`, log: "without a password",
			after: edit(b, "etc/shadow", "root:*:18000:", "root::0:")},
		{name: "change", before: b, options: `{"users": {"old": {"uid": 1000, "groups": ["shadow"], "description": "New", "shell": "/bin/zsh", "password": "!", "expiredate": -1}}}`,
			after: join(edit(b, "etc/passwd", "old:x:1000:1000:Old:/home/old:/bin/sh", "old:x:1000:1000:New:/home/old:/bin/zsh"),
				edit(b, "etc/shadow", "old:!:18000", "old:!:18518"),
				edit(b, "etc/group", "root,old", "root", "shadow:x:42:", "shadow:x:42:old"),
				edit(b, "etc/gshadow", "root,old", "root", "shadow:*::", "shadow:*::old"))},
		{name: "change nothing", before: b, options: `{"users": {"old": {}}}`},
		{name: "other uid", before: b, options: `{"users": {"old": {"uid": 1001}}}`, err: "user old: it exists with uid 1000"},
		{name: "no group", before: b, options: `{"users": {"new": {"groups": ["weel"]}}}`, err: "no group \"weel\"; did you mean wheel?"},
		{name: "no gid", before: b, options: `{"users": {"new": {"gid": 77}}}`, err: "no group \"77\""},
		{name: "name of a group", before: b, options: `{"users": {"wheel": {}}}`, err: "a group of that name"},
		{name: "several problems", before: b, options: `{"users": {"a": {"gid": 77}, "b": {"gid": 78}}}`, err: "user b"},
		{name: "malformed", before: b.With(treetest.Tree{"etc/passwd": treetest.File("new:x:1\n")}), options: `{"users": {"new": {}}}`, err: "line 1 of /etc/passwd has 3 fields"},
		{name: "no passwd", before: b.Without("etc/passwd"), options: `{"users": {"new": {}}}`, err: "no /etc/passwd"},
		{name: "no shadow", before: b.Without("etc/shadow"), options: `{"users": {"new": {}}}`, err: "no /etc/shadow"},
		{name: "full", before: b.With(treetest.Tree{"etc/login.defs": treetest.File("UID_MIN 1000\nUID_MAX 1000\n")}), options: `{"users": {"new": {}}}`, err: "no free number"},
		{name: "plain password", before: b, options: `{"users": {"a": {"password": "secret"}}}`, log: "its SHA-512 hash is stored",
			after: join(newUser("a", "a:x:1001:1001::/home/a:/bin/sh"), edit(b, "etc/shadow", "a:"+testSecretHash+":18518:0:99999:7:::\n"))},
		{name: "plain password of an existing user", before: b, options: `{"users": {"old": {"password": "a:b"}}}`,
			after: edit(b, "etc/shadow", "old:!:18000", "old:"+hashOf(`{"users": {"old": {}}}`, "old", "a:b")+":18518")},
		{name: "a number that is given", before: b, options: `{"users": {"a": {"gid": 10}, "b": {"uid": 1001, "gid": 10}}}`,
			after: join(edit(b, "etc/passwd", "a:x:1002:10::/home/a:/bin/sh\nb:x:1001:10::/home/b:/bin/sh\n"),
				edit(b, "etc/shadow", "a:!:18518:0:99999:7:::\nb:!:18518:0:99999:7:::\n"),
				edit(b, "etc/subuid", "a:165536:65536\nb:231072:65536\n"), edit(b, "etc/subgid", "a:165536:65536\nb:231072:65536\n"))},
		{name: "left in gshadow", before: b.With(edit(b, "etc/gshadow", "new:x:old:old\n")), options: `{"users": {"new": {}}}`,
			after: newUser("new", "new:x:1001:1001::/home/new:/bin/sh")},
		{name: "malformed group", before: b.With(edit(b, "etc/group", "new:x:7\n")), options: `{"users": {"new": {}}}`, err: "line 5 of /etc/group has 3 fields"},
		{name: "not writable", before: b.Without("etc/subuid").With(treetest.Tree{"etc/subuid": treetest.Dir(0o755)}), options: `{"users": {"new": {}}}`, err: "etc/subuid"},
	})
}

func TestUsersHome(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("giving files to another user needs root")
	}
	b := accountsTree()
	own := func(n treetest.Node) treetest.Node { return n.Owner(1001, 1001) }
	skel := treetest.Tree{
		"home/new": own(treetest.Dir(0o755)), "home/new/.profile": own(treetest.File("hello\n")), "home/new/.link": own(treetest.Link(".profile")),
		"home/new/bin": own(treetest.Dir(0o755)), "home/new/bin/run": own(treetest.File("x").Perm(0o750)),
	}
	keys := func(dir, text string, uid int) treetest.Tree {
		return treetest.Tree{
			dir + "/.ssh":                 treetest.Dir(0o700).Owner(uid, uid),
			dir + "/.ssh/authorized_keys": treetest.File(text).Perm(0o600).Owner(uid, uid),
		}
	}
	plain := newUser("new", "new:x:1001:1001::/home/new:/bin/sh")
	defs := func(more string) treetest.Tree { return edit(b, "etc/login.defs", more) }
	runCases(t, "org.osbuild.users", []treeCase{
		{name: "asked for", before: b, options: `{"users": {"new": {"home": "/home/new"}}}`, after: join(plain, skel)},
		{name: "by login.defs", before: b.With(defs("CREATE_HOME yes\nHOME_MODE 0700\n")), options: `{"users": {"new": {}}}`,
			after: join(plain, skel, treetest.Tree{"home/new": own(treetest.Dir(0o700))})},
		{name: "keys", before: b, options: `{"users": {"new": {"keys": ["k1", "k2\n"], "key": "k3"}}}`, after: join(plain, skel, keys("home/new", "k1\nk2\nk3\n", 1001))},
		{name: "another place", before: b.Without("etc/skel/.profile", "etc/skel/.link", "etc/skel/bin/run"), options: `{"users": {"new": {"home": "/srv/a/b"}}}`,
			after: join(newUser("new", "new:x:1001:1001::/srv/a/b:/bin/sh"), treetest.Tree{"srv/a/b": own(treetest.Dir(0o755))})},
		{name: "exists", before: b.With(treetest.Tree{"home/new/x": treetest.File("")}), options: `{"users": {"new": {"home": "/home/new"}}}`, after: plain},
		{name: "keys of an existing user", before: b.With(keys("home/old", "k1", 1000)), options: `{"users": {"old": {"key": "k2", "keys": ["k1"]}}}`,
			after: keys("home/old", "k1\nk2\n", 1000)},
		{name: "missing home of an existing user", before: b.Without("home/old", "etc/skel/.profile", "etc/skel/.link", "etc/skel/bin/run"), options: `{"users": {"old": {}}}`,
			after: treetest.Tree{"home/old": treetest.Dir(0o755).Owner(1000, 1000)}},
		{name: "new primary group", before: b.With(treetest.Tree{"home/old/a": treetest.File("").Owner(1000, 1000), "home/old/b": treetest.File("").Owner(0, 1000)}),
			options: `{"users": {"old": {"gid": 10}}}`, after: join(edit(b, "etc/passwd", "1000:1000", "1000:10"),
				treetest.Tree{"home/old": treetest.Dir(0o755).Owner(1000, 10), "home/old/a": treetest.File("").Owner(1000, 10)})},
		{name: "mailbox", before: b.With(edit(b, "etc/default/useradd", "CREATE_MAIL_SPOOL=yes\n"), edit(b, "etc/group", "mail:x:8:\n"), treetest.Tree{"var/spool/mail": treetest.Dir(0o775)}),
			options: `{"users": {"new": {"gid": 10}}}`, after: join(edit(b, "etc/passwd", "new:x:1001:10::/home/new:/bin/sh\n"), edit(b, "etc/shadow", "new:!:18518:0:99999:7:::\n"),
				edit(b, "etc/subuid", "new:165536:65536\n"), edit(b, "etc/subgid", "new:165536:65536\n"),
				treetest.Tree{"var/spool/mail/new": treetest.File("").Perm(0o660).Owner(1001, 8)})},
	})
}

// TestUsersKeysWithoutRoot adds a key for the user that runs the test.
func TestUsersKeysWithoutRoot(t *testing.T) {
	t.Parallel()
	id := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	before := treetest.Tree{
		"etc/passwd": treetest.File("me:x:" + id + "::/home/me:/bin/sh\n"), "etc/shadow": treetest.File("me:!:1::::::\n"), "etc/group": treetest.File(""),
		"home/me": treetest.Dir(0o755),
	}
	dir := treetest.New(t, before)
	if _, err := runStage(t, "org.osbuild.users", dir, `{"users": {"me": {"key": "k"}}}`); err != nil {
		t.Fatal(err)
	}
	want := before.With(treetest.Tree{"home/me/.ssh": treetest.Dir(0o700), "home/me/.ssh/authorized_keys": treetest.File("k\n").Perm(0o600)})
	got := treetest.Read(t, dir)
	for name, n := range got {
		got[name] = n.Owner(0, 0)
	}
	if diff := treetest.Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestUsersCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.users", []checkCase{
		{`{"users": {"a.b-c_1": {"uid": 0, "gid": "0", "password": "` + goodHash + `", "home": "/a"}, "b": {"password": "*"}, "c": {"password": "abcdefghijklmn"}}}`, nil},
		{`{"users": {"-a": {}, "1": {}, "a/b~": {}, "..": {}}}`, []string{"/users/-a: not a user name", "/users/..: ", "/users/1: ", "/users/a~1b~0: "}},
		{`{"users": {"` + strings.Repeat("a", 33) + `": {}}}`, []string{"/users/" + strings.Repeat("a", 33) + ": not a user name"}},
		{`{"users": {"a": {"uid": 4294967295, "gid": "x y", "groups": ["a:b"], "description": "a:b", "home": "x", "shell": "a\nb", "expiredate": -2}}}`, []string{
			"/users/a/description: colon", "/users/a/expiredate: no day", "/users/a/gid: neither", "/users/a/groups/0: not the name",
			"/users/a/home: absolute", "/users/a/shell: absolute", "/users/a/shell: a colon", "/users/a/uid: cannot be"}},
		{`{"users": {"a": {"key": "", "home": ""}}}`, []string{"/users/a: one line", "/users/a/home: need a home"}},
		{`{"users": {"a": {"password": "hun:ter2"}, "b": {"password": "_x"}}}`, nil},
		{`{"users": {"a": {"password": "$hunter2"}, "b": {"password": "$6$a:b"}}}`, []string{"/users/a/password: openssl passwd -6", "/users/b/password: not a whole one"}},
		{`{"users": {"a": {"password": "` + strings.Repeat("x", 513) + `"}, "b": {"password": "a\nb"}}}`, []string{"/users/a/password: 512 bytes", "/users/b/password: one line"}},
		{`{"users": {"a": {"uid": "x"}}}`, []string{": not a number"}},
		{`{"users": {"a": {"gid": 1.5}}}`, []string{": not a whole number"}},
		{`{"users": {"a": {"nope": 1}}}`, []string{": unknown field"}},
	})
}

// TestUsersAsUseradd compares the stage with the real program.
func TestUsersAsUseradd(t *testing.T) {
	t.Parallel()
	useradd, err := exec.LookPath("useradd")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs useradd and root")
	}
	for _, c := range []struct {
		options string
		args    []string
	}{
		{`{}`, nil},
		{`{"uid": 1500}`, []string{"--uid", "1500", "-o"}},
		{`{"uid": 300}`, []string{"--uid", "300", "-o"}},
		{`{"uid": 1000}`, []string{"--uid", "1000", "-o"}},
		{`{"uid": 59999, "gid": 10}`, []string{"--uid", "59999", "--gid", "10"}},
		{`{"groups": ["shadow", "wheel"], "description": "A", "shell": "/bin/bash", "password": "` + goodHash + `"}`,
			[]string{"--groups", "shadow,wheel", "--comment", "A", "--shell", "/bin/bash", "--password", goodHash}},
		{`{"home": "/home/new", "expiredate": 20000}`, []string{"--home-dir", "/home/new", "--create-home", "--expiredate", "20000"}},
	} {
		t.Run(c.options, func(t *testing.T) {
			t.Parallel()
			// Some versions of useradd do not copy what is in a directory.
			before := accountsTree().Without("etc/skel/bin/run")
			theirs, ours := treetest.New(t, before), treetest.New(t, before)
			cmd := exec.Command(useradd, append(append([]string{"--root", theirs}, c.args...), "new")...)
			cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", testEpoch))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Skipf("useradd does not work here: %v: %s", err, out)
			}
			if _, err := runStage(t, "org.osbuild.users", ours, `{"users": {"new": `+c.options+`}}`); err != nil {
				t.Fatal(err)
			}
			want := treetest.Read(t, theirs)
			for name := range want {
				if strings.HasSuffix(name, "-") || strings.HasSuffix(name, ".lock") {
					delete(want, name)
				}
			}
			if diff := treetest.Diff(want, treetest.Read(t, ours)); diff != "" {
				t.Errorf("tree (-useradd +stage):\n%s", diff)
			}
		})
	}
}

func TestFreeRange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		count int64
		want  int64
	}{
		{"", 10, 100},
		{"a:100:10\n", 10, 110},
		{"a:105:10\nb:130:10\n", 15, 115},
		{"a:100:1000\nb:200:10\n", 10, 1100},
		{"a:100:1900\n", 200, -1},
	} {
		dir := treetest.New(t, treetest.Tree{"f": treetest.File(c.text)})
		tab := readTestTable(t, dir)
		got, err := freeRange(tab, 100, 2000, c.count)
		if err != nil {
			got = -1
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("freeRange(%q, %d):\n%s", c.text, c.count, diff)
		}
	}
}

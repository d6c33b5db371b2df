package stages

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestGroups(t *testing.T) {
	t.Parallel()
	b := accountsTree()
	group := func(lines string) treetest.Tree { return edit(b, "etc/group", lines) }
	gshadow := func(lines string) treetest.Tree { return edit(b, "etc/gshadow", lines) }
	runCases(t, "org.osbuild.groups", []treeCase{
		{name: "none", before: b, options: `{"groups": {}}`},
		{name: "the next number", before: b, options: `{"groups": {"new": {}}}`, after: join(group("new:x:1001:\n"), gshadow("new:!::\n")), log: "gid 1001"},
		{name: "given numbers first", before: b, options: `{"groups": {"a": {}, "b": {"gid": "1001"}, "c": {"gid": 7}}}`,
			after: join(group("b:x:1001:\nc:x:7:\na:x:1002:\n"), gshadow("b:!::\nc:!::\na:!::\n"))},
		{name: "only etc/group", before: treetest.Tree{"etc/group": treetest.File("root:x:0:\n")}, options: `{"groups": {"new": {}}}`,
			after: treetest.Tree{"etc/group": treetest.File("root:x:0:\nnew:x:1000:\n")}},
		{name: "number 0", before: treetest.Tree{"etc/group": treetest.File("")}, options: `{"groups": {"root": {"gid": 0}}}`,
			after: treetest.Tree{"etc/group": treetest.File("root:x:0:\n")}},
		{name: "range of login.defs", before: b.With(edit(b, "etc/login.defs", "GID_MIN 1000", "GID_MIN 3000")), options: `{"groups": {"new": {}}}`,
			after: join(group("new:x:3000:\n"), gshadow("new:!::\n"))},
		{name: "before the lines of NIS", before: treetest.Tree{"etc/group": treetest.File("root:x:0:\n+\n")}, options: `{"groups": {"new": {}}}`,
			after: treetest.Tree{"etc/group": treetest.File("root:x:0:\nnew:x:1000:\n+\n")}},
		{name: "left in gshadow", before: b.With(gshadow("new:x:old:old\n")), options: `{"groups": {"new": {}}}`, after: join(group("new:x:1001:\n"), gshadow("new:!::\n"))},
		{name: "exists", before: b, options: `{"groups": {"wheel": {}, "new": {}}}`, err: "group wheel: it exists already"},
		{name: "exists, forced", before: b, options: `{"groups": {"wheel": {"gid": 3}}, "force": true}`, log: "exists already"},
		{name: "number is taken", before: b, options: `{"groups": {"new": {"gid": 42}}}`, err: "42 is the number of the group \"shadow\""},
		{name: "number is taken, forced", before: b, options: `{"groups": {"new": {"gid": 42}}, "force": true}`, after: join(group("new:x:1001:\n"), gshadow("new:!::\n"))},
		{name: "full", before: treetest.Tree{"etc/group": treetest.File("a:x:1000:\n"), "etc/login.defs": treetest.File("GID_MAX 1000\n")}, options: `{"groups": {"new": {}}}`, err: "no free number"},
		{name: "malformed", before: treetest.Tree{"etc/group": treetest.File("new:x\n")}, options: `{"groups": {"new": {}}}`, err: "line 1 of /etc/group has 2 fields"},
		{name: "no group file", before: treetest.Tree{"etc/passwd": treetest.File("")}, options: `{"groups": {"new": {}}}`, err: "no /etc/group"},
		{name: "not writable", before: treetest.Tree{"etc/group": treetest.File(""), "etc/gshadow": treetest.Dir(0o755)}, options: `{"groups": {"new": {}}}`, err: "etc/gshadow"},
	})
}

func TestGroupsCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.groups", []checkCase{
		{`{"groups": {"a.b-c_1": {"gid": 0}, "b": {"gid": "12"}}}`, nil},
		{`{"groups": {"a": {"gid": 7}, "b": {"gid": 7}}, "force": true}`, nil},
		{`{"groups": {"a": {"gid": 7}, "b": {"gid": 7}}}`, []string{"/groups/b/gid: 7 is the number of \"a\" too"}},
		{`{"groups": {"-a": {}, "1": {}, "a/b~": {}, "": {}}}`, []string{"/groups/: not a group name", "/groups/-a: ", "/groups/1: ", "/groups/a~1b~0: "}},
		{`{"groups": {"a": {"gid": 65535}, "b": {"gid": 4294967295}}}`, []string{"/groups/a/gid: cannot be", "/groups/b/gid: cannot be"}},
		{`{"groups": {"a": {"gid": -1}}}`, []string{": negative"}},
		{`{"groups": {"a": {"uid": 1}}}`, []string{": unknown field"}},
	})
}

// TestGroupsAsGroupadd compares the stage with the real program.
func TestGroupsAsGroupadd(t *testing.T) {
	t.Parallel()
	groupadd, err := exec.LookPath("groupadd")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs groupadd and root")
	}
	for _, c := range []struct {
		options string
		args    []string
	}{
		{`{"groups": {"new": {}}}`, []string{"new"}},
		{`{"groups": {"new": {"gid": 77}}}`, []string{"--gid", "77", "new"}},
		{`{"groups": {"new": {"gid": 42}}, "force": true}`, []string{"--gid", "42", "--force", "new"}},
		{`{"groups": {"wheel": {"gid": 77}}, "force": true}`, []string{"--gid", "77", "--force", "wheel"}},
	} {
		t.Run(c.options, func(t *testing.T) {
			t.Parallel()
			theirs, ours := treetest.New(t, accountsTree()), treetest.New(t, accountsTree())
			if out, err := exec.Command(groupadd, append([]string{"--root", theirs}, c.args...)...).CombinedOutput(); err != nil {
				t.Skipf("groupadd does not work here: %v: %s", err, out)
			}
			if _, err := runStage(t, "org.osbuild.groups", ours, c.options); err != nil {
				t.Fatal(err)
			}
			want := treetest.Read(t, theirs)
			for name := range want {
				if strings.HasSuffix(name, "-") || strings.HasSuffix(name, ".lock") {
					delete(want, name)
				}
			}
			if diff := treetest.Diff(want, treetest.Read(t, ours)); diff != "" {
				t.Errorf("tree (-groupadd +stage):\n%s", diff)
			}
		})
	}
}
